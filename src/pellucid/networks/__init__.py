"""F, the restoration networks: degraded image in, restored image out.

`contract` says what every network is: two verbs, `look` at the whole picture and `restore` a part of it, and one record
of what it takes. One paper, one file; `models.tables` has them by name. Anything else is adapted by `External`.
"""

from pellucid.networks.aod_net import AODNet
from pellucid.networks.contract import Contract, Network, SamplingNetwork, contract_of, verbs_of
from pellucid.networks.deconvolution import Deconvolution
from pellucid.networks.dncnn import DnCNN
from pellucid.networks.experts import Experts
from pellucid.networks.external import External, module_of
from pellucid.networks.iat import IAT
from pellucid.networks.identity import Identity
from pellucid.networks.maxim import MAXIM
from pellucid.networks.nafnet import NAFNet
from pellucid.networks.pairlie import PairLIE
from pellucid.networks.prenet import PReNet
from pellucid.networks.promptir import PromptIR
from pellucid.networks.restormer import Restormer
from pellucid.networks.results import Results
from pellucid.networks.ruas import RUAS
from pellucid.networks.sci import SCI
from pellucid.networks.unet import UNet
from pellucid.networks.zero_dce import ZeroDCE

__all__ = [
    "IAT",
    "MAXIM",
    "RUAS",
    "SCI",
    "AODNet",
    "Contract",
    "Deconvolution",
    "DnCNN",
    "Experts",
    "External",
    "Identity",
    "NAFNet",
    "Network",
    "PReNet",
    "PairLIE",
    "PromptIR",
    "Restormer",
    "Results",
    "SamplingNetwork",
    "UNet",
    "ZeroDCE",
    "contract_of",
    "module_of",
    "verbs_of",
]
