"""Models and data sets from elsewhere: fetched, verified, unpacked; never imported, executed or unpickled."""
