"""imageferry moves virtual-machine images where policy wants them."""
