"""Small programs to start from; run them as files, or import what they are made of."""
