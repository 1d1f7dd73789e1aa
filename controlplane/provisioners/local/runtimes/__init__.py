"""What nodes of this machine run on: Python packages, Java and the files of apps, installed once and shared."""
