"""The checker that holds every call of `recon` to its annotations in the tests: beartype, with int
accepted as float.
"""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
