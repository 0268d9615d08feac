"""What training on an intermediate task changes (Mohapatra & Mohapatra 2022): tables of runs with and without it."""
