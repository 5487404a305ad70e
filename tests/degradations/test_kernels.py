"""Kernels against their moments, SciPy, and polygons drawn by scikit-image."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.draw import polygon2mask

from pellucid.degradations.kernels import aperture_kernel, convolve, gaussian_kernel, line_kernel, shake_kernel


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def moments(kernel):
    """Centre (x, y) and covariance of a kernel, y upwards."""
    reach = kernel.shape[0] // 2
    places = np.arange(-reach, reach + 1)
    weights = kernel.double().numpy()
    x, y = np.meshgrid(places, -places)
    centre = np.array([(weights * x).sum(), (weights * y).sum()])
    products = [[x * x, x * y], [x * y, y * y]]
    return centre, np.array([[(weights * one).sum() for one in row] for row in products]) - np.outer(centre, centre)


KERNELS = {
    "gaussian": gaussian_kernel(1.7),
    "gaussian, elongated": gaussian_kernel(3.0, 0.4, 20),
    "gaussian, tiny": gaussian_kernel(0.01),
    "peaked": gaussian_kernel(1.2, shape=0.5),
    "plateau": gaussian_kernel(2.5, 0.7, -70, shape=8),
    "disk": aperture_kernel(4.3),
    "disk, tiny": aperture_kernel(0.2),
    "pentagon": aperture_kernel(5.2, 5, 17),
    "heptagon": aperture_kernel(9.1, 7, 100),
    "line": line_kernel(23, 25),
    "straight motion": shake_kernel(9.5, 0.0, seeded(1)),
    "shake": shake_kernel(25, 0.5, seeded(2)),
    "shake, erratic": shake_kernel(60, 1.0, seeded(3)),
    "no motion": shake_kernel(0, 0.5, seeded(4)),
}


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_every_kernel_is_odd_positive_centred_and_of_sum_one(kernel):
    assert kernel.dtype == torch.float32
    assert kernel.shape[0] == kernel.shape[1]
    assert kernel.shape[0] % 2 == 1
    assert kernel.min() >= 0
    assert float(kernel.double().sum()) == pytest.approx(1, abs=1e-6)
    assert moments(kernel)[0] == pytest.approx([0, 0], abs=5e-3)


@pytest.mark.parametrize("slant", [-45, 0, 30, 90])
def test_line_lies_as_told(slant):
    (along_x, mixed), (_, along_y) = moments(line_kernel(30, slant))[1]
    turn = math.radians(slant)
    # A uniform line of length L has the variance L² / 12 along itself; sharing between pixels adds at most 1/4 per
    # axis.
    assert along_x == pytest.approx(30**2 / 12 * math.sin(turn) ** 2, abs=0.3)
    assert along_y == pytest.approx(30**2 / 12 * math.cos(turn) ** 2, abs=0.3)
    assert mixed == pytest.approx(30**2 / 12 * math.sin(turn) * math.cos(turn), abs=0.3)


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.3, 6.0])
def test_gaussian_is_scipys(sigma):
    kernel = gaussian_kernel(sigma).numpy()
    spike = np.zeros(kernel.shape)
    spike[kernel.shape[0] // 2, kernel.shape[0] // 2] = 1
    assert (
        np.abs(kernel - ndimage.gaussian_filter(spike, sigma, truncate=8, mode="constant")).max() < 2e-4 * kernel.max()
    )


@pytest.mark.parametrize(("ratio", "angle"), [(1.0, 0), (0.5, 30), (0.3, -60), (0.7, 90)])
def test_elongated_gaussian_has_its_covariance(ratio, angle):
    turn = math.radians(angle)
    axes = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    expected = axes @ np.diag([16, 16 * ratio**2]) @ axes.T
    assert moments(gaussian_kernel(4, ratio, angle))[1] == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize("shape", [0.5, 0.8, 1, 2, 4, 8])
def test_sigma_is_the_standard_deviation_whatever_the_shape(shape):
    covariance = moments(gaussian_kernel(5, shape=shape))[1]
    assert np.sqrt(np.diag(covariance)) == pytest.approx([5, 5], rel=0.01)


def test_shape_goes_from_peak_to_plateau():
    peaks = [float(gaussian_kernel(5, shape=shape).max()) for shape in (0.5, 1, 2, 8)]
    assert peaks == sorted(peaks, reverse=True)
    plateau = gaussian_kernel(5, shape=8)
    middle = plateau.shape[0] // 2
    assert plateau[middle, middle + 5] == pytest.approx(float(plateau[middle, middle]), rel=0.01)


@pytest.mark.parametrize("radius", [1.5, 3.0, 4.7, 12.25])
def test_disk_has_its_area_and_variance(radius):
    kernel = aperture_kernel(radius)
    assert 1 / float(kernel.max()) == pytest.approx(math.pi * radius**2, rel=0.01)
    # What lies anywhere in a pixel counts at its middle, which adds about 1/12 (Sheppard's correction).
    assert np.diag(moments(kernel)[1]) == pytest.approx([radius**2 / 4 + 1 / 12] * 2, abs=0.08)


@pytest.mark.parametrize("blades", [5, 6, 7, 8, 9])
def test_polygon_is_scikit_images_and_has_the_disks_area(blades):
    radius, rotation, fine = 6.4, 23.0, 16
    kernel = aperture_kernel(radius, blades, rotation)
    assert 1 / float(kernel.max()) == pytest.approx(math.pi * radius**2, rel=0.005)
    size = kernel.shape[0]
    outer = radius * math.sqrt(2 * math.pi / (blades * math.sin(2 * math.pi / blades)))
    # Corners lie between the sides' normals, the first of which points along the rotation.
    corners = np.radians(rotation) + (np.arange(blades) + 0.5) * 2 * np.pi / blades
    middle = (size * fine - 1) / 2
    points = np.stack([middle - outer * fine * np.sin(corners), middle + outer * fine * np.cos(corners)], 1)
    mask = polygon2mask((size * fine, size * fine), points)
    covered = mask.reshape(size, fine, size, fine).mean((1, 3))
    assert np.abs(kernel.numpy() - covered / covered.sum()).max() < 0.04 * float(kernel.max())


@pytest.mark.parametrize("curvature", [0, 0.3, 0.7, 1])
def test_shake_has_the_standard_deviation_of_straight_motion(curvature):
    for seed in range(8):
        half_trace = np.trace(moments(shake_kernel(30, curvature, seeded(seed)))[1]) / 2
        # Sharing a point among pixels adds up to 1/4 per axis.
        assert 30**2 / 24 - 1e-3 < half_trace < 30**2 / 24 + 0.26


def test_straight_motion_is_a_line_of_its_length():
    for seed in range(4):
        kernel = shake_kernel(30, 0, seeded(seed))
        along, across = np.linalg.eigvalsh(moments(kernel)[1])[::-1]
        assert along == pytest.approx(30**2 / 12, rel=0.01)
        assert across < 0.3
        reach = kernel.shape[0] // 2
        down, right = np.nonzero(kernel.numpy() > 1e-3)
        assert np.hypot(down - reach, right - reach).max() == pytest.approx(15, abs=1.5)


def test_curvature_bends_the_path():
    def roundness(curvature):
        ratios = []
        for seed in range(20):
            along, across = np.linalg.eigvalsh(moments(shake_kernel(40, curvature, seeded(seed)))[1])[::-1]
            ratios.append(across / along)
        return np.mean(ratios)

    assert roundness(0) < roundness(0.25) < roundness(0.75)


def test_shake_comes_from_the_generator_alone():
    assert torch.equal(shake_kernel(20, 0.5, seeded(7)), shake_kernel(20, 0.5, seeded(7)))
    first, second = shake_kernel(20, 0.5, seeded(7)), shake_kernel(20, 0.5, seeded(8))
    assert first.shape != second.shape or not torch.equal(first, second)


@pytest.mark.parametrize("size", [(37, 53), (1, 1), (1, 9), (2, 3), (40, 5)])
def test_convolution_is_scipys(size):
    image = torch.rand(2, 3, *size, generator=seeded())
    kernels = [torch.rand(side, side, generator=seeded(side)) for side in (1, 5, 13, 31)]
    for kernel, convolved in zip(kernels, convolve(image, kernels), strict=True):
        assert convolved.shape == image.shape
        expected = ndimage.convolve(image.double().numpy(), kernel.double().numpy()[None, None], mode="mirror")
        assert np.abs(convolved.numpy() - expected).max() < 1e-5 * expected.max()


@pytest.mark.parametrize("blades", [0, 5])
@pytest.mark.parametrize("radius", [1e-9, 0.0168, 0.1, 0.4])
def test_an_aperture_within_its_pixel_changes_nothing(radius: float, blades: int) -> None:
    torch.testing.assert_close(aperture_kernel(radius, blades), torch.ones(1, 1))
