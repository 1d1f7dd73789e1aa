"""What the product needs of Linux: processes and files. The bottom layer: standard library only, for every package."""
