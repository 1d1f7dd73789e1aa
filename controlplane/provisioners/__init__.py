"""Provisioners make and observe clusters, one for each kind of site. `base` is the contract. No ORM is used here."""
