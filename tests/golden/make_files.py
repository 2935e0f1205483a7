#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/files/: checkpoints by torch, safetensors and transformers themselves, a few KB each.

	python3 tests/golden/make_files.py          needs torch, safetensors, transformers

Element i of every tensor, in the order of its last dimension fastest, is (7 * i + number of the tensor) % 64, true or
false by its lowest bit where it is a bool: tests/unit/test_torch.c expects that. Files: zip (torch.save), old (before 1.6),
nested ({"state_dict": ...}), shards of both kinds, safetensors, and a config by transformers.
"""
import collections
import json
import os
import sys

import safetensors.torch
import torch
import transformers

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "files")


def values(number, *shape):
	count = 1
	for n in shape:
		count *= n
	return ((torch.arange(count) * 7 + number) % 64).reshape(shape)


def tensors(new):
	"""new: types that only zip files of newer torch hold."""
	sd = collections.OrderedDict()
	sd["f32"] = values(0, 3, 4).to(torch.float32)
	sd["f16"] = values(1, 5).to(torch.float16)
	sd["bf16"] = torch.nn.Parameter(values(2, 2, 3, 2).to(torch.bfloat16))
	sd["transposed"] = values(3, 70, 5).to(torch.float32).t().contiguous().t()
	sd["transposed_f16"] = values(4, 3, 130).to(torch.float16).t().contiguous().t()
	whole = torch.zeros(6, 4)
	whole[1:3] = values(5, 2, 4)
	sd["rows"] = whole[1:3]
	whole = torch.zeros(4, 6)
	whole[:, 2:5] = values(6, 4, 3)
	sd["columns"] = whole[:, 2:5]
	sd["permuted"] = values(7, 2, 3, 4).to(torch.bfloat16).permute(2, 0, 1).contiguous().permute(1, 2, 0)
	sd["scalar"] = values(8)[()].to(torch.float32).reshape(())
	sd["i64"] = values(9, 1, 6)
	sd["mask"] = (values(10, 2, 2) % 2).to(torch.bool)
	sd["expanded"] = torch.ones(1, 3, dtype=torch.bool).expand(4, 3)
	sd["empty"] = torch.zeros(0, 3)
	sd["u8"] = values(13, 4).to(torch.uint8)
	sd["f64"] = values(14, 2).to(torch.float64)
	if new:
		sd["f8"] = values(15, 4).to(torch.float8_e4m3fn)
		sd["u16"] = values(16, 4).to(torch.uint16)
	sd["tied"] = sd["f32"]
	return sd


def folder(name):
	path = os.path.join(HERE, name)
	os.makedirs(path, exist_ok=True)
	with open(os.path.join(path, "config.json"), "w") as f:
		f.write("{}\n")
	return path


def index(path, name, where):
	with open(os.path.join(path, name), "w") as f:
		json.dump({"metadata": {"total_size": 0}, "weight_map": where}, f, indent=2, sort_keys=True)
		f.write("\n")


def plain():
	sd = tensors(True)
	del sd["tied"], sd["expanded"]
	return {k: v.detach().contiguous().clone() for k, v in sd.items()}


def main():
	sys.stdout.write(f"torch {torch.__version__}, transformers {transformers.__version__}\n")
	torch.save(tensors(True), os.path.join(folder("zip"), "pytorch_model.bin"))
	torch.save(tensors(False), os.path.join(folder("old"), "pytorch_model.bin"), _use_new_zipfile_serialization=False)
	torch.save({"epoch": 3, "loss": 0.5, "state_dict": {"f32": values(0, 3, 4).to(torch.float32)}, "name": "x"},
		   os.path.join(folder("nested"), "pytorch_model.bin"))
	for kind in ("bin", "safetensors"):
		path = folder("shards-" + kind)
		where = {}
		parts = [{}, {}]
		for i, (k, v) in enumerate(plain().items()):
			parts[i % 2][k] = v
		for i, part in enumerate(parts):
			stem = "pytorch_model" if kind == "bin" else "model"
			name = f"{stem}-{i + 1:05d}-of-00002.{kind}"
			if kind == "bin":
				torch.save(part, os.path.join(path, name))
			else:
				safetensors.torch.save_file(part, os.path.join(path, name), {"format": "pt"})
			where.update({k: name for k in part})
		index(path, f"{stem}.{kind}.index.json", where)
	safetensors.torch.save_file(plain(), os.path.join(folder("safetensors"), "model.safetensors"), {"format": "pt"})
	config = transformers.LlamaConfig(hidden_size=64, num_attention_heads=4, num_key_value_heads=2, dtype="bfloat16", max_position_embeddings=16384,
		architectures=["LlamaForCausalLM"], rope_parameters={"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0,
		"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192})
	config.save_pretrained(os.path.join(HERE, "config"))
	transformers.GenerationConfig(eos_token_id=[2, 32000], bos_token_id=1, temperature=0.6, do_sample=True).save_pretrained(
		os.path.join(HERE, "config"))


main()
