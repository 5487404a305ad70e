"""The ablations of PTG-RM's table 3 (arXiv 2403.06793), as settings of `PTGRM`."""

from collections.abc import Mapping
from typing import Any

__all__ = ["ABLATIONS"]

ABLATIONS: Mapping[str, Mapping[str, Any]] = {
    "without-range-map": {"range_map": "sum"},
    "without-channel-attention": {"channel_attention": False},
    "without-spatial-attention": {"spatial_attention": False},
    "large": {"width": 64, "range_map": "sum", "channel_attention": False, "spatial_attention": False},
    "without-position": {"position": False},
    "snr-mask": {"range_map": "snr"},
    "concatenated-vector": {"guidance": "concatenated-vector"},
    "concatenated-maps": {"guidance": "concatenated-maps"},
}
"""By name, in the table's order; `LatentSettings` says what each setting does.

without-range-map           "w/o SVE": near and far context are added
without-channel-attention   equation (4) is left out
without-spatial-attention   equations (5) and (6) are left out
large                       four times the channels, and none of these three. Nothing of it sees the prior, and with
                            702,874 parameters it is as large as the default: with as many channels as make it as
                            large as the R in question it is the control of equal parameters
without-position            S_m and S_c are left out
snr-mask                    the degraded image's signal-to-noise ratio is the range map
concatenated-vector         "1D prior": the prior's vector is concatenated to the latent, and guides no equation
concatenated-maps           "2D prior": so are its maps; only for priors that have them
"""
