/* SPDX-License-Identifier: Apache-2.0 */
/* Hugging Face directories: which files are the model, what config.json says, and reading a part of a tensor. */
#include "engine/weights/weights.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/arch/config.h"
#include "tests/lib/scratch.h"
#include "tests/lib/tiny_hf.h"

static char dir[64];

static void setup(void)
{
	scratch_make(dir, "hf");
}

static void clear(void)
{
	DIR *d = opendir(dir);
	const struct dirent *e;
	char name[384];

	while ((e = readdir(d)) != NULL) {
		snprintf(name, sizeof(name), "%s/%s", dir, e->d_name);
		if (e->d_name[0] != '.' && unlink(name) != 0)
			rmdir(name);
	}
	closedir(d);
}

static void teardown(void)
{
	clear();
	rmdir(dir);
}

static const char *in(const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void put_text(const char *name, const char *text) { tiny_save(text, strlen(text), in(name)); }

/* A safetensors file of one F32 tensor. */
static void put_tensor(const char *file, const char *name, float value)
{
	const struct tiny_tensor t = { name, "F32", 1, { 1 }, &value, 4 };
	struct tiny_buf b = { 0 };

	tiny_safetensors(&b, &t, 1);
	tiny_save(b.data, b.len, in(file));
	free(b.data);
}

/* The same as a torch file. */
static void put_torch(const char *file, const char *name, float value)
{
	const struct tiny_torch_tensor t = { name, "FloatStorage", "0", 1, 0, 1, { 1 }, { 1 } };
	struct tiny_buf pickle = { 0 };
	struct tiny_zip z = { 0 };

	tiny_pk_state_dict(&pickle, &t, 1);
	tiny_zip_add(&z, "archive/data.pkl", pickle.data, pickle.len);
	tiny_zip_add(&z, "archive/data/0", &value, 4);
	tiny_zip_end(&z);
	tiny_save(z.file.data, z.file.len, in(file));
	free(pickle.data);
	free(z.file.data);
}

static struct sk_weights *open_path(const char *path)
{
	struct sk_weights *w = NULL;
	struct sk_err err = { 0 };
	sk_status st = sk_weights_open(path, &w, &err);

	ck_assert_msg(st == SK_OK, "%s: %s", sk_status_name(st), err.text);
	return w;
}

static void refused_path(const char *path, sk_status status, const char *words)
{
	struct sk_weights *w = NULL;
	struct sk_err err = { 0 };
	sk_status st = sk_weights_open(path, &w, &err);

	ck_assert_msg(st == status, "case %s: got %s: %s", words, sk_status_name(st), err.text);
	ck_assert_msg(strstr(err.text, words) != NULL, "\"%s\" is not in: %s", words, err.text);
	ck_assert_msg(strstr(err.text, dir) != NULL, "the directory is not named: %s", err.text);
	ck_assert_ptr_null(w);
}

static void refused(sk_status status, const char *words) { refused_path(dir, status, words); }

static float value_of(const struct sk_weights *w, const char *name)
{
	const struct sk_tensor *t = sk_weights_find(w, name);
	float v;

	ck_assert_msg(t != NULL, "%s", name);
	memcpy(&v, t->data, 4);
	return v;
}

/* ---- which files ---------------------------------------------------------------------------------------------- */

/* files: names separated by spaces; each gets a tensor of the file's name, a gguf is a whole one, .json is "{}". */
static void make_files(const char *files)
{
	char name[64];
	size_t n;

	for (; *files; files += n + (files[n] == ' ')) {
		n = strcspn(files, " ");
		snprintf(name, sizeof(name), "%.*s", (int)n, files);
		if (strstr(name, ".safetensors") && !strstr(name, ".json")) {
			put_tensor(name, name, 1);
		} else if (strstr(name, ".bin") && !strstr(name, ".json")) {
			put_torch(name, name, 1);
		} else if (strstr(name, ".gguf")) {
			struct tiny_gguf o = TINY_GGUF_INIT;

			tiny_gguf_write(&o, in(name));
		} else {
			put_text(name, "{}");
		}
	}
}

static const struct { const char *files, *format, *tensors; } choices[] = {
	{ "config.json model.safetensors", "safetensors", "model.safetensors" },
	{ "config.json pytorch_model.bin", "torch", "pytorch_model.bin" },
	{ "config.json model.safetensors pytorch_model.bin", "safetensors", "model.safetensors" },
	{ "config.json model.safetensors model.gguf", "safetensors", "model.safetensors" },
	{ "config.json pytorch_model.bin one.gguf two.gguf", "torch", "pytorch_model.bin" },
	{ "config.json model.gguf", "gguf", NULL },
	{ "config.json model.gguf training_args.bin", "gguf", NULL },
	{ "model.gguf model.safetensors", "gguf", NULL },
	{ "config.json a.safetensors b.safetensors", "safetensors", "a.safetensors b.safetensors" },
	{ "config.json model.safetensors b.safetensors", "safetensors", "model.safetensors" },
	{ "config.json a.safetensors optimizer.safetensors consolidated.safetensors .hidden.safetensors adapter_model.safetensors",
	  "safetensors", "a.safetensors" },
	{ "config.json pytorch_model.bin training_args.bin optimizer.bin", "torch", "pytorch_model.bin" },
	{ "config.json a.bin b.bin training_args.bin optimizer.bin scheduler.bin rng_state.bin consolidated.bin", "torch", "a.bin b.bin" },
	{ "config.json model-00001-of-00002.safetensors model-00002-of-00002.safetensors", "safetensors",
	  "model-00001-of-00002.safetensors model-00002-of-00002.safetensors" },
};
enum { CHOICES = sizeof(choices) / sizeof(choices[0]) };

START_TEST(the_right_files_are_taken)
{
	const char *tensors = choices[_i].tensors;
	struct sk_weights *w;
	size_t count = 0;

	make_files(choices[_i].files);
	w = open_path(dir);
	ck_assert_str_eq(sk_weights_format(w), choices[_i].format);
	if (!tensors) {
		ck_assert_int_eq(sk_weights_form(w), SK_FORM_GGUF);
		ck_assert_ptr_null(sk_weights_dir(w));
		ck_assert_str_eq(sk_weights_path(w), in("model.gguf"));
	} else {
		ck_assert_int_eq(sk_weights_form(w), SK_FORM_HF);
		ck_assert_str_eq(sk_weights_dir(w), dir);
		for (const char *t = tensors; t; t = strchr(t, ' ') ? strchr(t, ' ') + 1 : NULL, count++) {
			char name[64];

			snprintf(name, sizeof(name), "%.*s", (int)strcspn(t, " "), t);
			ck_assert_msg(sk_weights_find(w, name) != NULL, "%s", name);
		}
		ck_assert_uint_eq(sk_weights_len(w), count);
	}
	sk_weights_close(&w);
}
END_TEST

static const struct { const char *files; sk_status want; const char *words; } misses[] = {
	{ "", SK_ENOENT, "no .gguf file in this directory, and no config.json with *.safetensors or *.bin" },
	{ "config.json", SK_ENOENT, "config.json is there, but no weights" },
	{ "config.json tf_model.h5", SK_ENOENT, "(TensorFlow and Flax files are not read)" },
	{ "config.json training_args.bin optimizer.bin", SK_ENOENT, "config.json is there, but no weights" },
	{ "model.safetensors", SK_ENOENT, "weights are there, but no config.json" },
	{ "pytorch_model.bin", SK_ENOENT, "weights are there, but no config.json" },
	{ "model.safetensors.index.json", SK_ENOENT, "weights are there, but no config.json" },
	{ "one.gguf two.gguf config.json", SK_EINVAL, "2 .gguf files in this directory" },
	{ "config.json model-00001-of-00003.safetensors model-00003-of-00003.safetensors", SK_ENOENT,
	  "model-00002-of-00003.safetensors is missing (model-00001-of-00003.safetensors says there are 3 files)" },
	{ "config.json model-00001-of-09999.safetensors", SK_ETOOBIG, "a set of 9999 files, the limit is 1024" },
	{ "config.json model.safetensors.index.json", SK_EFORMAT, "weight_map is missing" },
};
enum { MISSES = sizeof(misses) / sizeof(misses[0]) };

START_TEST(what_is_missing_is_named)
{
	make_files(misses[_i].files);
	refused(misses[_i].want, misses[_i].words);
}
END_TEST

START_TEST(a_file_stands_for_its_directory)
{
	struct sk_weights *w;

	make_files("config.json model.safetensors pytorch_model.bin model.gguf other.safetensors");
	w = open_path(in("model.safetensors"));
	ck_assert_str_eq(sk_weights_format(w), "safetensors");
	ck_assert_str_eq(sk_weights_dir(w), dir);
	sk_weights_close(&w);
	w = open_path(in("pytorch_model.bin"));
	ck_assert_str_eq(sk_weights_format(w), "torch");
	sk_weights_close(&w);
	w = open_path(in("config.json"));
	ck_assert_str_eq(sk_weights_format(w), "safetensors");
	sk_weights_close(&w);
	w = open_path(in("model.gguf"));
	ck_assert_str_eq(sk_weights_format(w), "gguf");
	sk_weights_close(&w);
	refused_path(in("other.safetensors"), SK_EINVAL, "other.safetensors was named, but the weights of this directory are model.safetensors");
	rename(in("model.safetensors"), "/tmp/sk-hf-model");
	rename("/tmp/sk-hf-model", in("weights.dat"));
	refused_path(in("weights.dat"), SK_EINVAL, "a safetensors file: name the directory that it is in");
}
END_TEST

START_TEST(slashes_at_the_end_are_not_part_of_the_name)
{
	struct sk_weights *w = NULL;

	make_files("config.json model.safetensors");
	w = open_path(in("//"));
	ck_assert_str_eq(sk_weights_path(w), dir);
	ck_assert_str_eq(sk_weights_dir(w), dir);
	sk_weights_close(&w);
	ck_assert_int_eq(sk_weights_open_config(in("/"), &w, NULL), SK_OK);
	ck_assert_str_eq(sk_weights_dir(w), dir);
	sk_weights_close(&w);
}
END_TEST

START_TEST(what_cannot_be_written_can_be_read)
{
	struct sk_weights *w;

	make_files("config.json generation_config.json model.safetensors");
	ck_assert_int_eq(chmod(in("model.safetensors"), 0444), 0);
	ck_assert_int_eq(chmod(in("config.json"), 0444), 0);
	ck_assert_int_eq(chmod(dir, 0555), 0);
	w = open_path(dir);
	sk_weights_close(&w);
	ck_assert_int_eq(chmod(dir, 0755), 0);
}
END_TEST

START_TEST(links_are_followed)
{
	struct sk_weights *w;
	char target[128];

	make_files("config.json blob");
	put_tensor("blob", "t", 4);
	snprintf(target, sizeof(target), "%s/blob", dir);
	ck_assert_int_eq(symlink(target, in("model.safetensors")), 0);
	w = open_path(dir);
	ck_assert(value_of(w, "t") == 4);
	sk_weights_close(&w);
}
END_TEST

/* Beside `files`, `name` is a link to itself or to nowhere, a pipe or a directory; words NULL: it does not matter. */
static const struct { const char *files, *name, *what, *words; } odd[] = {
	{ "config.json", "model.safetensors", "loop", "model.safetensors: a link that leads round in a circle, not a file" },
	{ "config.json", "model.safetensors", "nowhere", "model.safetensors: a link to what is not there, not a file" },
	{ "config.json", "model.safetensors", "pipe", "model.safetensors: a pipe, not a file" },
	{ "config.json", "pytorch_model.bin", "directory", "pytorch_model.bin: a directory, not a file" },
	{ "config.json", "some.safetensors", "nowhere", "some.safetensors: a link to what is not there, not a file" },
	{ "config.json", "model.gguf", "pipe", "model.gguf: a pipe, not a file" },
	{ "", "model.gguf", "directory", "model.gguf: a directory, not a file" },
	{ "model.safetensors", "config.json", "loop", "config.json: a link that leads round in a circle, not a file" },
	{ "config.json pytorch_model.bin", "model.safetensors", "nowhere", "model.safetensors: a link to what is not there, not a file" },
	{ "config.json pytorch_model.bin", "model.safetensors.index.json", "loop", "index.json: a link that leads round in a circle" },
	{ "config.json a.safetensors", "b.safetensors", "nowhere", "b.safetensors: a link to what is not there, not a file" },
	{ "config.json model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "nowhere",
	  "model-00002-of-00002.safetensors: a link to what is not there, not a file" },
	{ "config.json model.safetensors", "generation_config.json", "directory", "generation_config.json: a directory, not a file" },
	{ "config.json model.safetensors", "generation_config.json", "loop", "generation_config.json: Too many levels of symbolic links" },
	{ "config.json model.safetensors", "b.safetensors", "nowhere", NULL },
	{ "config.json model.safetensors", "pytorch_model-00001-of-00002.bin", "directory", NULL },
	{ "config.json pytorch_model.bin", "optimizer.safetensors", "nowhere", NULL },
	{ "config.json model.safetensors", "odd.gguf", "pipe", NULL },
};
enum { ODD = sizeof(odd) / sizeof(odd[0]) };

static void put_odd(const char *name, const char *what)
{
	if (!strcmp(what, "loop"))
		ck_assert_int_eq(symlink(name, in(name)), 0);
	else if (!strcmp(what, "nowhere"))
		ck_assert_int_eq(symlink("../blobs/0123", in(name)), 0);
	else if (!strcmp(what, "pipe"))
		ck_assert_int_eq(mkfifo(in(name), 0600), 0);
	else
		ck_assert_int_eq(mkdir(in(name), 0700), 0);
}

START_TEST(what_is_no_file_is_named)
{
	struct sk_weights *w;

	make_files(odd[_i].files);
	put_odd(odd[_i].name, odd[_i].what);
	if (odd[_i].words) {
		refused(strstr(odd[_i].words, "levels") ? SK_EIO : SK_EFORMAT, odd[_i].words);
	} else {
		w = open_path(dir);
		sk_weights_close(&w);
	}
}
END_TEST

START_TEST(a_shard_that_is_no_file_is_named)
{
	make_files("config.json");
	put_text("model.safetensors.index.json", "{\"weight_map\": {\"a\": \"a.safetensors\"}}");
	put_odd("a.safetensors", "nowhere");
	refused(SK_EFORMAT, "a.safetensors: a link to what is not there, not a file");
}
END_TEST

START_TEST(a_git_lfs_pointer_is_called_one)
{
	static const char pointer[] = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n";
	static const char *const files[] = { "model.safetensors", "pytorch_model.bin", "model.gguf", "config.json",
					     "model.safetensors.index.json" };

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		clear();
		make_files(i < 3 ? "config.json" : "config.json model.safetensors");
		put_text(files[i], pointer);
		refused(SK_EFORMAT, "a git-lfs pointer of 64 bytes, not the file itself");
	}
}
END_TEST

/* ---- shards --------------------------------------------------------------------------------------------------- */

START_TEST(an_index_says_which_files_and_which_tensors)
{
	struct sk_weights *w;

	make_files("config.json stray.safetensors model.safetensors");
	put_tensor("z.safetensors", "a", 1);
	put_tensor("y.safetensors", "b", 2);
	put_text("model.safetensors.index.json", "{\"metadata\":{\"total_size\":8},\"weight_map\":{"
		 "\"a\":\"z.safetensors\",\"b\":\"y.safetensors\"}}");
	w = open_path(dir);
	ck_assert_uint_eq(sk_weights_len(w), 2);
	ck_assert(value_of(w, "a") == 1 && value_of(w, "b") == 2);
	sk_weights_close(&w);
	/* The same name in both files: the index decides. */
	put_tensor("y.safetensors", "a", 2);
	put_text("model.safetensors.index.json", "{\"weight_map\":{\"a\":\"z.safetensors\",\"b\":\"y.safetensors\"}}");
	refused(SK_EFORMAT, "tensor b should be in y.safetensors, which lacks it");
	put_tensor("x.safetensors", "b", 3);
	put_text("model.safetensors.index.json", "{\"weight_map\":{\"a\":\"y.safetensors\",\"b\":\"x.safetensors\"}}");
	w = open_path(dir);
	ck_assert(value_of(w, "a") == 2);
	sk_weights_close(&w);
}
END_TEST

START_TEST(a_tensor_in_two_files_is_refused_by_name)
{
	make_files("config.json");
	put_tensor("a.safetensors", "same", 1);
	put_tensor("b.safetensors", "same", 2);
	refused(SK_EFORMAT, "b.safetensors: tensor same is in a.safetensors too");
}
END_TEST

static const struct { const char *index; sk_status want; const char *words; } bad_indexes[] = {
	{ "[]", SK_EFORMAT, "an object is due, here is a list" },
	{ "{\"weight_map\":{}}", SK_EFORMAT, "weight_map is empty" },
	{ "{\"weight_map\":[]}", SK_EFORMAT, "an object is due, here is a list" },
	{ "{\"weight_map\":{\"a\":1}}", SK_EFORMAT, "a string is due, here is a number" },
	{ "{\"weight_map\":{\"a\":\"../a.safetensors\"}}", SK_EFORMAT, "\"../a.safetensors\" is no name of a .safetensors file" },
	{ "{\"weight_map\":{\"a\":\"/etc/a.safetensors\"}}", SK_EFORMAT, "is no name of a .safetensors file" },
	{ "{\"weight_map\":{\"a\":\".a.safetensors\"}}", SK_EFORMAT, "is no name of a .safetensors file" },
	{ "{\"weight_map\":{\"a\":\"a.bin\"}}", SK_EFORMAT, "is no name of a .safetensors file" },
	{ "{\"weight_map\":{\"a\":\"a\\u0000.safetensors\"}}", SK_EFORMAT, "is no name of a .safetensors file" },
	{ "{\"weight_map\":{\"a\":\"gone.safetensors\"}}", SK_ENOENT, "model.safetensors.index.json names gone.safetensors, which is not there" },
	{ "{\"weight_map\":{\"a\":\"a.safetensors\",\"a\":\"a.safetensors\"}}", SK_EFORMAT, "tensor a is there twice" },
	{ "{\"weight_map\":{\"\":\"a.safetensors\"}}", SK_EFORMAT, "is no name of a tensor" },
	{ "{\"weight_map\":{\"x\":\"a.safetensors\",\"w\":\"a.safetensors\"}}", SK_EFORMAT, "tensor w should be in a.safetensors, which lacks it" },
	{ "{\"weight_map\":{\"a\":\"a.safetensors\"},\"weight_map\":{}}", SK_EFORMAT, "weight_map is there twice" },
	{ "{\"weight_map\":{\"a\":\"a.safetensors\"}", SK_EFORMAT, "the text ends inside" },
};
enum { BAD_INDEXES = sizeof(bad_indexes) / sizeof(bad_indexes[0]) };

START_TEST(a_lying_index_is_refused_by_name)
{
	make_files("config.json a.safetensors");
	put_text("model.safetensors.index.json", bad_indexes[_i].index);
	refused(bad_indexes[_i].want, bad_indexes[_i].words);
}
END_TEST

/* ---- config.json ---------------------------------------------------------------------------------------------- */

static const char config[] =
	"{ \"architectures\": [\"LlamaForCausalLM\"], \"hidden_size\": 64, \"rms_norm_eps\": 1e-05, \"tie\": true,\n"
	"  \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8.0, \"inner\": {\"deep\": -3}}, \"pad_token_id\": null,\n"
	"  \"odd\": [NaN, Infinity, -Infinity, 1], \"big\": 123456789012345678901234567890, \"name\": \"caf\\u00e9\\n\",\n"
	"  \"ids\": [1, 2, 3], \"mixed\": [1, \"a\", null, true], \"attention_types\": [[[\"global\", \"local\"], 12]],\n"
	"  \"objects\": [{\"x\": 1}, {\"x\": 2}], \"none\": [], \"empty\": {}, \"zero\": -0, \"f32\": 0.5 }\n";

static const char *string_of(const struct sk_meta_value *v)
{
	static char s[64];

	snprintf(s, sizeof(s), "%.*s", (int)v->len, v->s);
	return s;
}

static const struct sk_meta_value *meta(const struct sk_weights *w, const char *key)
{
	const struct sk_meta_value *v = sk_meta_find(w, key);

	ck_assert_msg(v != NULL, "%s", key);
	return v;
}

static struct sk_weights *open_config(const char *path)
{
	struct sk_weights *w = NULL;
	struct sk_err err = { 0 };
	sk_status st = sk_weights_open_config(path, &w, &err);

	ck_assert_msg(st == SK_OK, "%s: %s", sk_status_name(st), err.text);
	return w;
}

START_TEST(config_becomes_metadata)
{
	struct sk_weights *w;

	put_text("config.json", config);
	put_text("generation_config.json", "{\"eos_token_id\": [2, 32000], \"temperature\": 0.6}");
	w = open_config(in("config.json"));
	ck_assert_int_eq(sk_weights_form(w), SK_FORM_HF);
	ck_assert_str_eq(sk_weights_format(w), "config");
	ck_assert_str_eq(sk_weights_dir(w), dir);
	ck_assert_uint_eq(sk_weights_len(w), 0);
	ck_assert_uint_eq(sk_weights_file_bytes(w), 0);
	ck_assert_int_eq(sk_meta_int(w, "hidden_size", 0), 64);
	ck_assert_int_eq(meta(w, "hidden_size")->type, SK_META_INT);
	ck_assert_double_eq(sk_meta_float(w, "rms_norm_eps", 0), 1e-5);
	ck_assert_int_eq(meta(w, "tie")->type, SK_META_BOOL);
	ck_assert_int_eq(sk_meta_int(w, "tie", 0), 1);
	ck_assert_str_eq(string_of(meta(w, "rope_scaling.rope_type")), "llama3");
	ck_assert_double_eq(sk_meta_float(w, "rope_scaling.factor", 0), 8);
	ck_assert_int_eq(meta(w, "rope_scaling.factor")->type, SK_META_FLOAT);
	ck_assert_int_eq(sk_meta_int(w, "rope_scaling.inner.deep", 0), -3);
	ck_assert_int_eq(meta(w, "rope_scaling")->type, SK_META_OBJECT);
	ck_assert_ptr_null(sk_meta_find(w, "pad_token_id"));
	ck_assert_int_eq(meta(w, "empty")->type, SK_META_OBJECT);
	ck_assert_str_eq(string_of(meta(w, "name")), "caf\xc3\xa9\n");
	ck_assert_double_eq(sk_meta_float(w, "big", 0), 123456789012345678901234567890.0);
	ck_assert_int_eq(sk_meta_int(w, "zero", 1), 0);
	ck_assert_double_eq(sk_meta_float(w, "f32", 0), 0.5);
	ck_assert_int_eq(meta(w, "generation_config.eos_token_id")->type, SK_META_ARRAY);
	ck_assert_double_eq(sk_meta_float(w, "generation_config.temperature", 0), 0.6);
	ck_assert_ptr_null(sk_meta_find(w, "temperature"));
	sk_weights_close(&w);
	w = open_config(dir);
	ck_assert_int_eq(sk_meta_int(w, "hidden_size", 0), 64);
	sk_weights_close(&w);
}
END_TEST

/* The types and values of a list, as text: "i1 f2 sabc b1 n a2" */
static const char *list_of(const struct sk_meta_value *array)
{
	static char s[256];
	struct sk_meta_value v;
	const void *cursor = NULL;
	size_t i, at = 0, count = 0;

	s[0] = 0;
	while (sk_meta_next(array, &cursor, &i, &v)) {
		ck_assert_uint_eq(i, count++);
		at += (size_t)snprintf(s + at, sizeof(s) - at, at ? " " : "");
		if (v.type == SK_META_INT)
			at += (size_t)snprintf(s + at, sizeof(s) - at, "i%d", (int)v.i);
		else if (v.type == SK_META_FLOAT)
			at += (size_t)snprintf(s + at, sizeof(s) - at, "f%g", v.f);
		else if (v.type == SK_META_STRING)
			at += (size_t)snprintf(s + at, sizeof(s) - at, "s%.*s", (int)v.len, v.s);
		else if (v.type == SK_META_BOOL)
			at += (size_t)snprintf(s + at, sizeof(s) - at, "b%d", (int)v.i);
		else if (v.type == SK_META_ARRAY)
			at += (size_t)snprintf(s + at, sizeof(s) - at, "a%zu", v.len);
		else
			at += (size_t)snprintf(s + at, sizeof(s) - at, "n");
	}
	ck_assert_uint_eq(count, array->len);
	return s;
}

static const struct { const char *key; enum sk_meta_type item; const char *list; } lists[] = {
	{ "architectures", SK_META_STRING, "sLlamaForCausalLM" },
	{ "ids", SK_META_INT, "i1 i2 i3" },
	{ "odd", SK_META_FLOAT, "fnan finf f-inf f1" },
	{ "mixed", SK_META_NONE, "i1 sa n b1" },
	{ "none", SK_META_NONE, "" },
	{ "attention_types", SK_META_ARRAY, "a2" },
	{ "attention_types.0", SK_META_NONE, "a2 i12" },
	{ "attention_types.0.0", SK_META_STRING, "sglobal slocal" },
	{ "objects", SK_META_NONE, "n n" },
	{ "generation_config.eos_token_id", SK_META_INT, "i2 i32000" },
};

START_TEST(lists_are_walked)
{
	struct sk_weights *w;

	put_text("config.json", config);
	put_text("generation_config.json", "{\"eos_token_id\": [2, 32000]}");
	w = open_config(dir);
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		const struct sk_meta_value *v = meta(w, lists[i].key);

		ck_assert_msg(v->type == SK_META_ARRAY && v->item == lists[i].item, "%s: %d of %d", lists[i].key, v->type, v->item);
		ck_assert_str_eq(list_of(v), lists[i].list);
	}
	ck_assert_int_eq(sk_meta_int(w, "mixed.0", 0), 1);
	ck_assert_str_eq(string_of(meta(w, "mixed.1")), "a");
	ck_assert_ptr_null(sk_meta_find(w, "mixed.2"));
	ck_assert_int_eq(sk_meta_int(w, "attention_types.0.1", 0), 12);
	ck_assert_int_eq(sk_meta_int(w, "objects.1.x", 0), 2);
	ck_assert_ptr_null(sk_meta_find(w, "ids.0"));
	sk_weights_close(&w);
}
END_TEST

static const struct { const char *value; sk_status want; const char *words; } ids[] = {
	{ "2", SK_OK, NULL },
	{ "-1", SK_OK, NULL },
	{ "null", SK_OK, NULL },
	{ "[]", SK_OK, NULL },
	{ "[2, 32000, 70000]", SK_OK, NULL },
	{ "\"</s>\"", SK_EFORMAT, "key generation_config.eos_token_id is \"</s>\", it must be a token's id or a list of them" },
	{ "true", SK_EFORMAT, "key generation_config.eos_token_id is true, it must be a token's id" },
	{ "2.5", SK_EFORMAT, "key generation_config.eos_token_id is 2.5, it must be a token's id" },
	{ "1180591620717411303424", SK_EFORMAT, "key generation_config.eos_token_id is 1.18059e+21, it must be a token's id" },
	{ "[2, \"a\"]", SK_EFORMAT, "key generation_config.eos_token_id: number 1 of the list is \"a\", it must be a token's id" },
	{ "[[2]]", SK_EFORMAT, "key generation_config.eos_token_id: number 0 of the list is a list, it must be a token's id" },
	{ "[1,2,3,4,5]", SK_ETOOBIG, "key generation_config.eos_token_id has 5 ids, the limit is 4" },
};

START_TEST(what_ends_a_text_is_an_id_or_a_list)
{
	struct sk_weights *w;
	struct sk_err err = { .text = "" };
	char text[128];

	snprintf(text, sizeof(text), "{\"eos_token_id\": %s}", ids[_i].value);
	put_text("config.json", config);
	put_text("generation_config.json", text);
	w = open_config(dir);
	ck_assert_msg(sk_config_ids(w, "generation_config.eos_token_id", 4, &err) == ids[_i].want, "%s: \"%s\"", text, err.text);
	ck_assert_msg(!ids[_i].words || strstr(err.text, ids[_i].words), "%s: \"%s\"", text, err.text);
	sk_weights_close(&w);
}
END_TEST

static const struct { const char *text; sk_status want; const char *words; } bad_configs[] = {
	{ "", SK_EFORMAT, "the file is empty" },
	{ " ", SK_EFORMAT, "the text ends where a value is due, at line 1 column 2" },
	{ "[]", SK_EFORMAT, "an object is due" },
	{ "{}{}", SK_EFORMAT, "something follows the end of the text, at line 1 column 3" },
	{ "{\"a\":1,\n \"a\":2}", SK_EFORMAT, "a is there twice, at line 2" },
	{ "{\"a\":{\"b\":1},\"a.b\":2}", SK_EFORMAT, "a.b is there twice" },
	{ "{\"a\":{\"b\":1},\"a\":2}", SK_EFORMAT, "a is there twice" },
	{ "{\"a\":[[1]],\"a.0\":2}", SK_EFORMAT, "a.0 is there twice" },
	{ "{\"\":1}", SK_EFORMAT, "a key that is empty" },
	{ "{\"a\\u0000\":1}", SK_EFORMAT, "holds a NUL" },
	{ "{a:1}", SK_EFORMAT, "a key in quotes is due" },
	{ "{\"a\" 1}", SK_EFORMAT, "a colon is due" },
	{ "{\"a\":1 \"b\":2}", SK_EFORMAT, "a comma or } is due" },
	{ "{\"a\":[1 2]}", SK_EFORMAT, "a comma or ] is due" },
	{ "{\"a\":[1,]}", SK_EFORMAT, "a comma before the end" },
	{ "{\"a\":01}", SK_EFORMAT, "a number is due" },
	{ "{\"a\":1.}", SK_EFORMAT, "a number is due" },
	{ "{\"a\":1e}", SK_EFORMAT, "a number is due" },
	{ "{\"a\":-}", SK_EFORMAT, "a number is due" },
	{ "{\"a\":Nan}", SK_EFORMAT, "a number is due" },
	{ "{\"a\":tru}", SK_EFORMAT, "a value is due here" },
	{ "{\"a\":\xff}", SK_EFORMAT, "a value is due here" },
	{ "{\"a\":\"\xff\"}", SK_EFORMAT, "not UTF-8" },
	{ "{\"a\":\"", SK_EFORMAT, "the text ends inside a string" },
	{ "{\"a\":\"\\\"", SK_EFORMAT, "the text ends inside a string" },
	{ "{\"a\":\"\\", SK_EFORMAT, "the text ends inside a string" },
	{ "{\"a\":\"\\u12\"}", SK_EFORMAT, "four hexadecimal digits" },
	{ "{\"a\":\"\\ud800\\u0041\"}", SK_EFORMAT, "a lone surrogate" },
	{ "{\"a\":\"\\udc00\"}", SK_EFORMAT, "a lone surrogate" },
};
enum { BAD_CONFIGS = sizeof(bad_configs) / sizeof(bad_configs[0]) };

START_TEST(a_wrong_config_is_refused_by_name)
{
	struct sk_weights *w = NULL;
	struct sk_err err = { 0 };
	sk_status st;

	put_text("config.json", bad_configs[_i].text);
	st = sk_weights_open_config(dir, &w, &err);
	ck_assert_msg(st == bad_configs[_i].want, "case %s: got %s: %s", bad_configs[_i].words, sk_status_name(st), err.text);
	ck_assert_msg(strstr(err.text, bad_configs[_i].words), "\"%s\" is not in: %s", bad_configs[_i].words, err.text);
	ck_assert_msg(strstr(err.text, in("config.json")), "%s", err.text);
	ck_assert_ptr_null(w);
	/* and in a directory with weights, as its generation_config.json */
	make_files("config.json model.safetensors");
	put_text("generation_config.json", bad_configs[_i].text);
	refused(bad_configs[_i].want, bad_configs[_i].words);
	refused(bad_configs[_i].want, "generation_config.json");
}
END_TEST

/* `times` times `piece` between two other texts. */
static char *repeated(const char *before, const char *piece, size_t times, const char *after)
{
	size_t n = strlen(piece), len = strlen(before) + n * times + strlen(after) + 1;
	char *s = malloc(len), *at = s;

	at += snprintf(at, len, "%s", before);
	for (size_t i = 0; i < times; i++, at += n)
		memcpy(at, piece, n);
	snprintf(at, strlen(after) + 1, "%s", after);
	return s;
}

static const struct { const char *before, *piece; size_t times; const char *after, *words; } too_big[] = {
	{ "{\"a\":", "[", 100000, "", "nested deeper than 32" },
	{ "", "{\"a\":", 100000, "", "nested deeper than 32" },
	{ "{\"a\":[0", ",0", 65536, "]}", "lists of more than 65536 values together" },
	{ "{\"a\":[0", ",[0,0]", 30000, "]}", "lists of more than 65536 values together" },
	{ "{\"", "k", 256, "\":1}", "have more than 255 bytes" },
	{ "{\"a\":1", "1", 255, "}", "a number of 256 bytes, the limit is 255" },
	{ "{\"a\":\"", "x", 4 << 20, "\"}", "bytes, the limit is 4194304" },
};
enum { TOO_BIG = sizeof(too_big) / sizeof(too_big[0]) };

START_TEST(a_config_over_a_limit_is_refused)
{
	char *text = repeated(too_big[_i].before, too_big[_i].piece, too_big[_i].times, too_big[_i].after);
	struct sk_weights *w = NULL;
	struct sk_err err = { 0 };

	put_text("config.json", text);
	free(text);
	ck_assert_int_eq(sk_weights_open_config(dir, &w, &err), SK_ETOOBIG);
	ck_assert_msg(strstr(err.text, too_big[_i].words), "\"%s\" is not in: %s", too_big[_i].words, err.text);
}
END_TEST

START_TEST(too_many_keys_are_refused)
{
	char *text = malloc(2 << 20);
	size_t len = 1;
	struct sk_weights *w = NULL;
	struct sk_err err = { 0 };

	text[0] = '{';
	for (int i = 0; i <= 65536; i++)
		len += (size_t)snprintf(text + len, 32, "%s\"%d\":0", i ? "," : "", i);
	snprintf(text + len, 2, "}");
	put_text("config.json", text);
	free(text);
	ck_assert_int_eq(sk_weights_open_config(dir, &w, &err), SK_ETOOBIG);
	ck_assert_msg(strstr(err.text, "more than 65536 keys"), "%s", err.text);
}
END_TEST

START_TEST(a_config_that_is_not_there_is_named)
{
	struct sk_weights *w = NULL;
	struct sk_err err = { 0 };

	ck_assert_int_eq(sk_weights_open_config(in("config.json"), &w, &err), SK_ENOENT);
	ck_assert_ptr_nonnull(strstr(err.text, "config.json"));
	ck_assert_int_eq(sk_weights_open_config(dir, &w, &err), SK_ENOENT);
	ck_assert_ptr_nonnull(strstr(err.text, "config.json"));
}
END_TEST

/* ---- parts of a tensor ---------------------------------------------------------------------------------------- */

enum { ROWS = 2048, COLUMNS = 4096 };           /* 32 MiB of F32 */

static const struct sk_tensor *put_large(struct sk_weights **ret_w)
{
	float *data = malloc(sizeof(*data) * ROWS * COLUMNS);
	const struct tiny_tensor t = { "t", "F32", 2, { ROWS, COLUMNS }, data, sizeof(*data) * ROWS * COLUMNS };
	struct tiny_buf b = { 0 };

	for (int i = 0; i < ROWS * COLUMNS; i++)
		data[i] = (float)i;
	tiny_safetensors(&b, &t, 1);
	make_files("config.json");
	tiny_save(b.data, b.len, in("model.safetensors"));
	free(b.data);
	free(data);
	*ret_w = open_path(dir);
	return sk_weights_find(*ret_w, "t");
}

/*
 * Which pages of [p, p + bytes) were read: their number. /proc/self/pagemap tells what this process has. Where there is none, mincore()
 * tells what the kernel has of the file: as much, once it has forgotten the file (go_cold()), but what is given back stays there.
 */
#define PAGEMAP "/proc/self/pagemap"

static long from_mincore(size_t page, size_t first, size_t last)
{
	unsigned char *in_core = malloc(last - first + 1);
	long there = 0;

	ck_assert_ptr_nonnull(in_core);
	ck_assert_int_eq(mincore((void *)(first * page), (last - first + 1) * page, in_core), 0);
	for (size_t i = 0; i <= last - first; i++)
		there += in_core[i] & 1;
	free(in_core);
	return there;
}

static bool has_pagemap(void)
{
	int fd = open(PAGEMAP, O_RDONLY);
	uint64_t entry;
	bool read = fd >= 0 && pread(fd, &entry, 8, (off_t)((uintptr_t)&entry / (size_t)sysconf(_SC_PAGESIZE) * 8)) == 8;

	if (fd >= 0)
		close(fd);
	return read;
}

static long pages_there(const void *p, size_t bytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), first = (uintptr_t)p / page, last = ((uintptr_t)p + bytes - 1) / page;
	int fd = has_pagemap() ? open(PAGEMAP, O_RDONLY) : -1;
	long there = 0;
	uint64_t entry;

	if (fd < 0)
		return from_mincore(page, first, last);
	for (size_t i = first; i <= last; i++) {
		ck_assert_int_eq(pread(fd, &entry, 8, (off_t)(i * 8)), 8);
		there += entry >> 63;
	}
	close(fd);
	return there;
}

/* Where the file itself is memory (tmpfs), or another holds it, nothing is forgotten: false. */
static bool go_cold(const char *path)
{
	int fd = open(path, O_RDWR);
	struct stat sb;
	void *p;
	long there;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fstat(fd, &sb), 0);
	fsync(fd);
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	p = mmap(NULL, (size_t)sb.st_size, PROT_READ, MAP_SHARED, fd, 0);
	ck_assert(p != MAP_FAILED);
	there = from_mincore((size_t)sysconf(_SC_PAGESIZE), (uintptr_t)p / (size_t)sysconf(_SC_PAGESIZE),
			     ((uintptr_t)p + (size_t)sb.st_size - 1) / (size_t)sysconf(_SC_PAGESIZE));
	munmap(p, (size_t)sb.st_size);
	close(fd);
	return there == 0;
}

static volatile unsigned char sink;

static void touch(const void *p, size_t bytes)
{
	for (size_t i = 0; i < bytes; i += 512)
		sink = ((const unsigned char *)p)[i];
	sink = ((const unsigned char *)p)[bytes - 1];
}

/* Around a page that is read the kernel maps what it has in memory in one piece anyway, up to 2 MiB. */
enum { AROUND = 2 << 20 };

START_TEST(a_ranks_rows_touch_their_pages_only)
{
	struct sk_weights *w;
	const struct sk_tensor *t = put_large(&w);
	const unsigned char *data, *rows;
	size_t bytes, page = (size_t)sysconf(_SC_PAGESIZE);
	bool pagemap = has_pagemap();
	long before, after;

	if (!pagemap) {
		sk_weights_close(&w);
		if (!go_cold(in("model.safetensors"))) {
			printf("SKIP: which pages of a tensor are read: no " PAGEMAP ", and the file stays in memory\n");
			return;
		}
		w = open_path(dir);
		t = sk_weights_find(w, "t");
		/* What the disk reads ahead would be counted: for the header some MiB, for the rows nothing. */
		ck_assert_int_eq(madvise((void *)((uintptr_t)t->data / page * page), t->bytes, MADV_RANDOM), 0);
	}
	data = t->data;
	before = pages_there(data, t->bytes);
	rows = sk_tensor_rows(t, ROWS / 4, ROWS / 4, &bytes);
	ck_assert_uint_eq(bytes, t->bytes / 4);
	ck_assert_ptr_eq(rows, data + bytes);
	/* Opening read none but those at the header. */
	ck_assert_msg((size_t)before <= (pagemap ? 1 : 4) * AROUND / page, "%ld pages after open", before);
	touch(rows, bytes);
	ck_assert_msg((size_t)pages_there(rows, bytes) >= bytes / page, "the rows are not there");
	after = pages_there(rows + bytes + AROUND, t->bytes - 2 * bytes - AROUND);
	if (pagemap)                    /* else what was read ahead behind the header is still coming in */
		after += pages_there(data, (size_t)(rows - data) - AROUND);
	ck_assert_msg(after <= before, "%ld pages of other rows were read", after - before);
	sk_weights_drop_rows(w, t, ROWS / 4, ROWS / 4);
	if (pagemap)
		ck_assert_msg((size_t)pages_there(rows, bytes) <= 2 * AROUND / page, "the rows are still there");
	else
		printf("SKIP: which pages of a tensor's rows are given back: no " PAGEMAP "\n");
	ck_assert(((const float *)(const void *)rows)[5] == ROWS / 4 * COLUMNS + 5);
	sk_weights_close(&w);
}
END_TEST

START_TEST(a_tensor_asked_for_ahead_comes_by_itself)
{
	struct sk_weights *w;
	const struct sk_tensor *t = put_large(&w);
	size_t page = (size_t)sysconf(_SC_PAGESIZE), first, last;

	sk_weights_close(&w);
	if (!go_cold(in("model.safetensors"))) {
		printf("SKIP: what is read ahead: the file stays in memory\n");
		return;
	}
	w = open_path(dir);
	t = sk_weights_find(w, "t");
	first = (uintptr_t)t->data / page;
	last = ((uintptr_t)t->data + t->bytes - 1) / page;
	ck_assert_int_lt(from_mincore(page, first, last), (long)(last - first + 1));
	sk_weights_ahead(w, t);
	for (int i = 0; i < 10000 && from_mincore(page, first, last) < (long)(last - first + 1); i++)
		usleep(1000);
	ck_assert_int_eq(from_mincore(page, first, last), (long)(last - first + 1));
	sk_weights_close(&w);
}
END_TEST

START_TEST(columns_are_copied_and_the_pages_given_back)
{
	struct sk_weights *w;
	const struct sk_tensor *t = put_large(&w);
	size_t bytes = sk_tensor_columns_bytes(t, 1024);
	float *out = malloc(bytes);
	bool pagemap = has_pagemap();
	long left;

	if (!pagemap)
		printf("SKIP: which pages of a tensor's columns are given back: no " PAGEMAP "\n");
	ck_assert_uint_eq(bytes, ROWS * 1024 * 4);
	for (int first = 0; first < COLUMNS; first += 1024) {
		int wrong = 0;                  /* each ck_assert writes to a file: not one a number, of which there are 8 million */

		sk_weights_copy_columns(w, t, first, 1024, out);
		for (int r = 0; r < ROWS; r++)
			for (int c = 0; c < 1024; c++)
				wrong += out[r * 1024 + c] != (float)(r * COLUMNS + first + c);
		ck_assert_int_eq(wrong, 0);
		left = pagemap ? pages_there(t->data, t->bytes) : 0;
		ck_assert_msg(left <= 2, "%ld pages are still there", left);    /* one at each end, shared with others */
	}
	free(out);
	sk_weights_close(&w);
}
END_TEST

START_TEST(columns_of_blocks_are_copied_whole)
{
	struct tiny_gguf o = TINY_GGUF_INIT;
	struct sk_weights *w;
	const struct sk_tensor *t;
	unsigned char out[96 * 20];

	o.linear = SK_Q4_1;
	tiny_gguf_write(&o, in("model.gguf"));
	w = open_path(dir);
	t = sk_weights_find(w, "blk.0.ffn_up.weight");          /* 96 rows of two blocks of 20 bytes */
	ck_assert_uint_eq(sk_tensor_columns_bytes(t, 32), sizeof(out));
	sk_weights_copy_columns(w, t, 32, 32, out);
	for (int r = 0; r < 96; r++)
		ck_assert_mem_eq(out + r * 20, (const unsigned char *)t->data + r * 40 + 20, 20);
	sk_weights_close(&w);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("hf_dir");
	TCase *t = tcase_create("hf_dir");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, the_right_files_are_taken, 0, CHOICES);
	tcase_add_loop_test(t, what_is_missing_is_named, 0, MISSES);
	tcase_add_test(t, a_file_stands_for_its_directory);
	tcase_add_test(t, slashes_at_the_end_are_not_part_of_the_name);
	tcase_add_test(t, what_cannot_be_written_can_be_read);
	tcase_add_test(t, links_are_followed);
	tcase_add_loop_test(t, what_is_no_file_is_named, 0, ODD);
	tcase_add_test(t, a_shard_that_is_no_file_is_named);
	tcase_add_test(t, a_git_lfs_pointer_is_called_one);
	tcase_add_test(t, an_index_says_which_files_and_which_tensors);
	tcase_add_test(t, a_tensor_in_two_files_is_refused_by_name);
	tcase_add_loop_test(t, a_lying_index_is_refused_by_name, 0, BAD_INDEXES);
	tcase_add_test(t, config_becomes_metadata);
	tcase_add_test(t, lists_are_walked);
	tcase_add_loop_test(t, what_ends_a_text_is_an_id_or_a_list, 0, sizeof(ids) / sizeof(ids[0]));
	tcase_add_loop_test(t, a_wrong_config_is_refused_by_name, 0, BAD_CONFIGS);
	tcase_add_loop_test(t, a_config_over_a_limit_is_refused, 0, TOO_BIG);
	tcase_add_test(t, too_many_keys_are_refused);
	tcase_add_test(t, a_config_that_is_not_there_is_named);
	tcase_add_test(t, a_ranks_rows_touch_their_pages_only);
	tcase_add_test(t, a_tensor_asked_for_ahead_comes_by_itself);
	tcase_add_test(t, columns_are_copied_and_the_pages_given_back);
	tcase_add_test(t, columns_of_blocks_are_copied_whole);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
