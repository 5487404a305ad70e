"""A package of TensorFlow.js with a network converted from flax, as small as the test likes."""

import base64
import io
import json
import tarfile

import numpy as np

PREFIX = "StatefulPartitionedCall/jax2tf_apply_/Wrapper/backbone/"


def graph_model(weights, *, shards=2):
    """The files of a package: `weights` by flax path, in torch's layout, among constants that are no parameters.

    Dense kernels have numbers for names; a node that multiplies by each says whose it is.
    """
    nodes, entries, data = [], [], []

    def constant(name, values, kind="<f4"):
        dtype = "float32" if kind == "<f4" else "int32"
        entries.append({"name": name, "shape": list(values.shape), "dtype": dtype})
        data.append(np.ascontiguousarray(values, kind).tobytes())

    constant("StatefulPartitionedCall/Const_7", np.array(0.5))
    for number, (path, value) in enumerate(weights.items()):
        layer, _, leaf = path.rpartition("/")
        value = np.asarray(value, np.float32)
        if leaf == "kernel" and value.ndim == 2:
            name = f"StatefulPartitionedCall/jax2tf_arg_{number}/ReadVariableOp"
            constant(name, value.T)
            node = {"name": f"{PREFIX}{layer}/einsum/Einsum", "op": "Einsum", "input": ["something", name]}
            nodes.append(node | {"attr": {"equation": {"s": base64.b64encode(b"abcg,gf->abcf").decode()}}})
        elif leaf == "kernel":
            transposed = layer.endswith("ConvTranspose_0")
            constant(f"{PREFIX}{layer}/transpose_{3 + transposed}", value.transpose(2, 3, 1, 0))
        else:
            normalisation = f"{layer}/scale" in weights
            given = "Reshape_2" if leaf == "scale" else "Reshape_3" if normalisation else "Reshape"
            constant(f"{PREFIX}{layer}/{given}", value.reshape(1, 1, 1, -1))
            constant(f"{PREFIX}{layer}/{given}/shape", np.array([1, 1, 1, value.size]), "<i4")
    joined = b"".join(data)
    cut = -(-len(joined) // shards)
    files = {f"group1-shard{n + 1}of{shards}.bin": joined[n * cut : (n + 1) * cut] for n in range(shards)}
    model = {
        "format": "graph-model",
        "modelTopology": {"node": nodes},
        "weightsManifest": [{"paths": list(files), "weights": entries}],
    }
    described = {"name": "@somebody/maxim-denoising", "version": "0.1.0", "license": "MIT"}
    files = {f"models/{name}": content for name, content in files.items()}
    return files | {"models/model.json": json.dumps(model).encode(), "package.json": json.dumps(described).encode()}


def pack(files, path):
    """Writes the files as the registry packs them, below `package/`."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path
