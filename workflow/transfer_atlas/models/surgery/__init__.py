"""Surgery: changing pretrained layers before training (Tamkin et al. 2020, section 3).

`operation.operate` applies what `transfer_atlas.surgeries` plans; `anatomy` says which tensors of a layer play which
part; `distributions` where new values come from.
"""
