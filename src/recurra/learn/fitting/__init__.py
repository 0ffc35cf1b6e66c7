"""`fit`: one call that trains a network by a gradient rule, a search or a closed form, and what it is made of.

`fit` is the entry; `plan` and `rule` read what is asked for, `data` and `batches` prepare what is learned from,
`gradient`, `search`, `evolino` and `reward` train, `result` is what comes back, and `plot` draws it.
"""
