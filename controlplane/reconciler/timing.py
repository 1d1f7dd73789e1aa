"""How long after a write a cluster and its site are observed. Pure."""

from datetime import timedelta

from controlplane.provisioners.base import WRITE_SECONDS
from controlplane.work.timing import LEASE_SECONDS

# A worker that was paused may still write for so long after its last recorded action. Only an observation that began
# later than this shows everything.
QUIET = timedelta(seconds=LEASE_SECONDS + WRITE_SECONDS)
# Every site is listed this often.
LIST_SECONDS = 180
# A cluster that waits for the listing of its site gives the listing itself a minute.
LISTING_WAIT = timedelta(seconds=LIST_SECONDS + 60)
