"""F, the restoration networks: degraded image in, restored image out.

`contract` says what every network is: two verbs, `look` at the whole picture and `restore` a part of it, and one record
of what it takes. One paper, one file; `models.tables` has them by name. Anything else is adapted by `External`.
"""

from pellucid.networks.aod_net import AODNet
from pellucid.networks.colorizer import Colorizer
from pellucid.networks.contract import Contract, Network, SamplingNetwork, contract_of, verbs_of
from pellucid.networks.deconvolution import Deconvolution
from pellucid.networks.dncnn import DnCNN
from pellucid.networks.drsformer import DRSformer
from pellucid.networks.drunet import DRUNet
from pellucid.networks.experts import Experts
from pellucid.networks.external import External, module_of
from pellucid.networks.ffdnet import FFDNet
from pellucid.networks.grid_dehaze_net import GridDehazeNet
from pellucid.networks.guided import Guided
from pellucid.networks.iat import IAT
from pellucid.networks.identity import Identity
from pellucid.networks.inpainter import Inpainter
from pellucid.networks.light_curves import LightCurves
from pellucid.networks.llformer import LLFormer
from pellucid.networks.maxim import MAXIM
from pellucid.networks.mprnet import MPRNet
from pellucid.networks.nafnet import NAFNet
from pellucid.networks.pairlie import PairLIE
from pellucid.networks.prenet import PReNet
from pellucid.networks.promptir import PromptIR
from pellucid.networks.restormer import Restormer
from pellucid.networks.results import Results
from pellucid.networks.ruas import RUAS
from pellucid.networks.sci import SCI
from pellucid.networks.sfnet import SFNet
from pellucid.networks.snr_aware import SNRAware
from pellucid.networks.swinir import SwinIR
from pellucid.networks.textir import TextIR
from pellucid.networks.uformer import Uformer
from pellucid.networks.unet import UNet
from pellucid.networks.upscaler import Upscaler
from pellucid.networks.uretinex_net import URetinexNet
from pellucid.networks.zero_dce import ZeroDCE

__all__ = [
    "IAT",
    "MAXIM",
    "RUAS",
    "SCI",
    "AODNet",
    "Colorizer",
    "Contract",
    "DRSformer",
    "DRUNet",
    "Deconvolution",
    "DnCNN",
    "Experts",
    "External",
    "FFDNet",
    "GridDehazeNet",
    "Guided",
    "Identity",
    "Inpainter",
    "LLFormer",
    "LightCurves",
    "MPRNet",
    "NAFNet",
    "Network",
    "PReNet",
    "PairLIE",
    "PromptIR",
    "Restormer",
    "Results",
    "SFNet",
    "SNRAware",
    "SamplingNetwork",
    "SwinIR",
    "TextIR",
    "UNet",
    "URetinexNet",
    "Uformer",
    "Upscaler",
    "ZeroDCE",
    "contract_of",
    "module_of",
    "verbs_of",
]
