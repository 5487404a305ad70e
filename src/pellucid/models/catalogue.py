"""What is known of the networks whose authors' weights load here: their papers, and under what licence they are given.

A licence stands here where it was read: in the authors' repository, or with the weights. Nobody's licence is guessed:
where none was read or none is given, the weights count as not for commercial use.
"""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["CATALOGUE", "Origin", "is_commercial"]


@dataclass(frozen=True)
class Origin:
    """Where a published network is from.

    Attributes:
        paper: its title, venue and number.
        licence: of its authors' weights; empty where none was read.
        commercial: whether it allows commercial use.
        note: what else must be known of it.
    """

    paper: str
    licence: str = ""
    commercial: bool = False
    note: str = ""


ACADEMIC = "Academic Public License, non-commercial"
KAIR = "MIT (KAIR)"

CATALOGUE: Mapping[str, Origin] = {
    "aod_net": Origin("AOD-Net, ICCV 2017, arXiv 1707.06543"),
    "dncnn": Origin("DnCNN, TIP 2017, arXiv 1608.03981", KAIR, True),
    "drsformer": Origin("DRSformer, CVPR 2023, arXiv 2303.11950", "none given"),
    "drunet": Origin("DPIR, TPAMI 2021, arXiv 2008.13751", KAIR, True),
    "ffdnet": Origin("FFDNet, TIP 2018, arXiv 1710.04026", KAIR, True),
    "grid_dehaze_net": Origin("GridDehazeNet, ICCV 2019, arXiv 1908.03245", "none given"),
    "iat": Origin("Illumination Adaptive Transformer, BMVC 2022, arXiv 2205.14871"),
    "llformer": Origin("LLFormer, AAAI 2023, arXiv 2212.11548", "CC BY-NC-SA 4.0"),
    "maxim": Origin(
        "MAXIM, CVPR 2022, arXiv 2201.02973", "Apache-2.0", True, "packages of TensorFlow.js that hold it are MIT"
    ),
    "mprnet": Origin("MPRNet, CVPR 2021, arXiv 2102.02808", ACADEMIC),
    "nafnet": Origin("NAFNet, ECCV 2022, arXiv 2204.04676", "MIT", True),
    "pairlie": Origin("PairLIE, CVPR 2023", "none given"),
    "prenet": Origin("PReNet, CVPR 2019, arXiv 1901.09221"),
    "promptir": Origin("PromptIR, NeurIPS 2023, arXiv 2306.13090", ACADEMIC),
    "restormer": Origin("Restormer, CVPR 2022, arXiv 2111.09881", ACADEMIC),
    "ruas": Origin("RUAS, CVPR 2021, arXiv 2012.05609", "none given"),
    "sci": Origin("SCI, CVPR 2022, arXiv 2204.10137"),
    "sfnet": Origin("SFNet, ICLR 2023", "MIT", True),
    "snr_aware": Origin("SNR-Aware, CVPR 2022", "none given"),
    "swinir": Origin("SwinIR, ICCVW 2021, arXiv 2108.10257", "Apache-2.0", True),
    "textir": Origin("TextIR, TVCG, arXiv 2302.14736", "none given"),
    "uformer": Origin("Uformer, CVPR 2022, arXiv 2106.03106", "MIT", True),
    "uretinex_net": Origin("URetinex-Net, CVPR 2022", "MIT", True),
    "zero_dce": Origin("Zero-DCE, CVPR 2020, arXiv 2001.06826", "CC BY-NC 4.0"),
}
"""By their names in NETWORKS."""

COMMERCIAL = ("apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "cc-by-4.0")


def is_commercial(licence: str) -> bool:
    """Whether a card's licence, by its SPDX name, allows commercial use."""
    return licence.strip().lower() in COMMERCIAL
