"""Who else computes a recurrent network: a file or a folder for each framework; `registry` lists them."""
