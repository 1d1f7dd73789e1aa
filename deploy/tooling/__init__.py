"""What developers and CI run: the tests, the checks, the builds of images. The product never imports it."""
