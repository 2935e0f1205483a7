/* SPDX-License-Identifier: Apache-2.0 */
/* Reading PyTorch's .bin files: what torch has written comes back, nothing is executed, and a lie is called by its name. */
#include "engine/weights/weights.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/scratch.h"
#include "tests/lib/tiny_hf.h"

static char dir[64], path[128];

static void setup(void)
{
	char config[128];

	scratch_make(dir, "pt");
	snprintf(path, sizeof(path), "%s/pytorch_model.bin", dir);
	snprintf(config, sizeof(config), "%s/config.json", dir);
	tiny_save("{}", 2, config);
}

static void teardown(void)
{
	scratch_remove(dir);
}

static struct sk_weights *open_good(const char *at)
{
	struct sk_weights *w = NULL;
	struct sk_err err = { 0 };
	sk_status st = sk_weights_open(at, &w, &err);

	ck_assert_msg(st == SK_OK, "%s: %s", sk_status_name(st), err.text);
	return w;
}

/* ---- files by torch itself ------------------------------------------------------------------------------------ */

/* As tests/golden/make_files.py says; in: 'z' zip, 'o' old, 's' the shards and safetensors too. */
static const struct { const char *name; int number; const char *type; enum sk_dtype dtype; int dims; int64_t dim[3]; const char *in; }
made[] = {
	{ "f32",            0,  "float32",  SK_F32,    2, { 3, 4 },    "zos" },
	{ "f16",            1,  "float16",  SK_F16,    1, { 5 },       "zos" },
	{ "bf16",           2,  "bfloat16", SK_BF16,   3, { 2, 3, 2 }, "zos" },
	{ "transposed",     3,  "float32",  SK_F32,    2, { 70, 5 },   "zos" },
	{ "transposed_f16", 4,  "float16",  SK_F16,    2, { 3, 130 },  "zos" },
	{ "rows",           5,  "float32",  SK_F32,    2, { 2, 4 },    "zos" },
	{ "columns",        6,  "float32",  SK_F32,    2, { 4, 3 },    "zos" },
	{ "permuted",       7,  "bfloat16", SK_BF16,   3, { 2, 3, 4 }, "zos" },
	{ "scalar",         8,  "float32",  SK_F32,    1, { 1 },       "zos" },
	{ "i64",            9,  "int64",    SK_DTYPES, 2, { 1, 6 },    "zos" },
	{ "mask",           10, "bool",     SK_DTYPES, 2, { 2, 2 },    "zos" },
	{ "expanded",       11, "bool",     SK_DTYPES, 2, { 4, 3 },    "zo" },
	{ "empty",          12, "float32",  SK_DTYPES, 2, { 0, 3 },    "zos" },
	{ "u8",             13, "uint8",    SK_DTYPES, 1, { 4 },       "zos" },
	{ "f64",            14, "float64",  SK_DTYPES, 1, { 2 },       "zos" },
	{ "f8",             15, "float8_e4m3fn", SK_DTYPES, 1, { 4 },  "zs" },
	{ "u16",            16, "uint16",   SK_DTYPES, 1, { 4 },       "zs" },
	{ "tied",           0,  "float32",  SK_F32,    2, { 3, 4 },    "zo" },
};
enum { MADE = sizeof(made) / sizeof(made[0]) };

static const struct { const char *name; char kind; const char *format; } folders[] = {
	{ "zip", 'z', "torch" }, { "old", 'o', "torch" }, { "shards-bin", 's', "torch" },
	{ "safetensors", 's', "safetensors" }, { "shards-safetensors", 's', "safetensors" },
};
enum { FOLDERS = sizeof(folders) / sizeof(folders[0]) };

static void check_made(const struct sk_weights *w, int i)
{
	const struct sk_tensor *t = sk_weights_find(w, made[i].name);
	size_t elements = 1;
	float row[512];

	ck_assert_msg(t != NULL, "%s", made[i].name);
	ck_assert_msg(t->dtype == made[i].dtype && t->dims == made[i].dims, "%s: %d, %d", t->name, t->dtype, t->dims);
	for (int d = 0; d < t->dims; d++) {
		ck_assert_msg(t->dim[d] == made[i].dim[d], "%s", t->name);
		elements *= (size_t)t->dim[d];
	}
	if (!strcmp(sk_weights_format(w), "torch")) {
		ck_assert(!strncmp(t->type, "torch.", 6));
		ck_assert_str_eq(t->type + 6, made[i].type);
	}
	if (t->dtype == SK_DTYPES)
		return;
	sk_quant_get(t->dtype)->dequantise(t->data, row, elements);
	for (size_t e = 0; e < elements; e++)
		ck_assert_msg(row[e] == (float)((e * 7 + (size_t)made[i].number) % 64), "%s[%zu] is %g", t->name, e, (double)row[e]);
}

START_TEST(what_torch_and_safetensors_have_written_comes_back)
{
	struct sk_weights *w;
	char at[512];
	size_t count = 0;

	snprintf(at, sizeof(at), "%s/tests/golden/files/%s", GOLDEN_SRCDIR, folders[_i].name);
	w = open_good(at);
	ck_assert_str_eq(sk_weights_format(w), folders[_i].format);
	for (int i = 0; i < MADE; i++)
		if (strchr(made[i].in, folders[_i].kind)) {
			check_made(w, i);
			count++;
		}
	ck_assert_uint_eq(sk_weights_len(w), count);
	/* What is dropped can be read again, copies too. */
	for (size_t i = 0; i < sk_weights_len(w); i++)
		sk_weights_drop(w, sk_weights_at(w, i));
	check_made(w, 3);
	sk_weights_close(&w);
}
END_TEST

START_TEST(what_lies_in_one_piece_is_not_copied)
{
	struct sk_weights *w;
	const struct sk_tensor *f32, *tied;
	char at[512];

	snprintf(at, sizeof(at), "%s/tests/golden/files/zip", GOLDEN_SRCDIR);
	w = open_good(at);
	f32 = sk_weights_find(w, "f32");
	tied = sk_weights_find(w, "tied");
	ck_assert_ptr_eq(f32->data, tied->data);
	sk_weights_close(&w);
}
END_TEST

START_TEST(a_dictionary_inside_is_found)
{
	struct sk_weights *w;
	char at[512];

	snprintf(at, sizeof(at), "%s/tests/golden/files/nested", GOLDEN_SRCDIR);
	w = open_good(at);
	ck_assert_uint_eq(sk_weights_len(w), 1);
	check_made(w, 0);
	sk_weights_close(&w);
}
END_TEST

START_TEST(what_transformers_writes_is_metadata)
{
	struct sk_weights *w = NULL;
	struct sk_err err = { 0 };
	size_t len = 0;
	char at[512];

	snprintf(at, sizeof(at), "%s/tests/golden/files/config", GOLDEN_SRCDIR);
	ck_assert_msg(sk_weights_open_config(at, &w, &err) == SK_OK, "%s", err.text);
	ck_assert_double_eq(sk_meta_float(w, "rope_parameters.rope_theta", 0), 500000);
	ck_assert_mem_eq(sk_meta_str(w, "dtype", &len), "bfloat16", 8);
	ck_assert_int_eq(sk_meta_int(w, "head_dim", 0), 16);
	ck_assert_uint_eq(sk_meta_find(w, "generation_config.eos_token_id")->len, 2);
	sk_weights_close(&w);
}
END_TEST

/* ---- files by this test --------------------------------------------------------------------------------------- */

static const float data[12] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 };

/* A zip of a pickle and a storage of `elements` floats. */
static void save_zip(const void *pickle, size_t pickle_len, size_t elements, bool zip64)
{
	struct tiny_zip z = { .zip64 = zip64 };

	tiny_zip_add(&z, "archive/data.pkl", pickle, pickle_len);
	tiny_zip_add(&z, "archive/byteorder", "little", 6);
	tiny_zip_add(&z, "archive/data/0", data, 4 * elements);
	tiny_zip_add(&z, "archive/version", "3\n", 2);
	tiny_zip_end(&z);
	tiny_save(z.file.data, z.file.len, path);
	free(z.file.data);
}

static void save_tensors(const struct tiny_torch_tensor *t, size_t len, size_t elements, bool zip64)
{
	struct tiny_buf pickle = { 0 };

	tiny_pk_state_dict(&pickle, t, len);
	save_zip(pickle.data, pickle.len, elements, zip64);
	free(pickle.data);
}

static void refused(sk_status status, const char *words)
{
	struct sk_weights *w = NULL;
	struct sk_err err = { 0 };
	sk_status st = sk_weights_open(dir, &w, &err);

	ck_assert_msg(st == status, "case %s: got %s: %s", words, sk_status_name(st), err.text);
	ck_assert_msg(strstr(err.text, words) != NULL, "\"%s\" is not in: %s", words, err.text);
	ck_assert_msg(strstr(err.text, path) != NULL, "the file is not named: %s", err.text);
	ck_assert_int_eq(err.status, st);
	ck_assert_ptr_null(w);
	ck_assert_int_eq(sk_weights_open(dir, &w, NULL), st);
}

START_TEST(zip64_is_read)
{
	const struct tiny_torch_tensor t = { "t", "FloatStorage", "0", 12, 2, 2, { 2, 5 }, { 5, 1 } };
	struct sk_weights *w;

	save_tensors(&t, 1, 12, true);
	w = open_good(dir);
	ck_assert_mem_eq(sk_weights_find(w, "t")->data, data + 2, 40);
	sk_weights_close(&w);
}
END_TEST

START_TEST(an_empty_view_may_begin_anywhere)
{
	const struct tiny_torch_tensor t[2] = { { "t", "FloatStorage", "0", 12, 31, 2, { 0, 5 }, { 5, 1 } },
						{ "u", "FloatStorage", "0", 12, 0, 1, { 12 }, { 1 } } };
	struct sk_weights *w;

	save_tensors(t, 2, 12, false);
	w = open_good(dir);
	ck_assert_int_eq(sk_weights_find(w, "t")->dtype, SK_DTYPES);
	ck_assert_uint_eq(sk_weights_find(w, "t")->bytes, 0);
	sk_weights_close(&w);
}
END_TEST

static const struct { struct tiny_torch_tensor t; sk_status want; const char *words; } tensors[] = {
	{ { "t", "FloatStorage", "0", 12, 1, 1, { 12 }, { 1 } }, SK_EFORMAT, "tensor t ends at element 13 of its storage, which has 12" },
	{ { "t", "FloatStorage", "0", 12, 0, 2, { 3, 5 }, { 4, 1 } }, SK_EFORMAT, "tensor t ends at element 13" },
	{ { "t", "FloatStorage", "0", 12, INT64_MAX, 1, { 2 }, { 1 } }, SK_EFORMAT, "tensor t ends beyond element 2^63 of its storage, which has 12" },
	{ { "t", "FloatStorage", "0", 12, 0, 1, { 2 }, { INT64_MAX } }, SK_EFORMAT, "tensor t ends beyond element 2^63 of its storage, which has 12" },
	{ { "t", "FloatStorage", "0", 12, 0, 2, { 1ll << 32, 1ll << 32 }, { 0, 0 } }, SK_EFORMAT, "dimensions is 2^63 or more" },
	{ { "t", "FloatStorage", "0", 12, 0, 2, { 1 << 30, 1 << 30 }, { 0, 0 } }, SK_ETOOBIG, "tensor t does not lie in one piece" },
	{ { "t", "FloatStorage", "0", 12, 0, 1, { 400 }, { 0 } }, SK_ETOOBIG, "its 1600 bytes, copied with 0 of others, would be more than" },
	{ { "t", "FloatStorage", "0", 12, -1, 1, { 2 }, { 1 } }, SK_EFORMAT, "wrong arguments for torch._utils._rebuild_tensor_v2" },
	{ { "t", "FloatStorage", "0", 12, 0, 1, { -2 }, { 1 } }, SK_EFORMAT, "wrong arguments for" },
	{ { "t", "FloatStorage", "0", 12, 0, 1, { 2 }, { -1 } }, SK_EFORMAT, "wrong arguments for" },
	{ { "t", "FloatStorage", "0", 11, 0, 1, { 2 }, { 1 } }, SK_EFORMAT, "storage 0 has 48 bytes, the pickle says 11 elements of torch.float32" },
	{ { "t", "HalfStorage", "0", 12, 0, 1, { 2 }, { 1 } }, SK_EFORMAT, "storage 0 has 48 bytes, the pickle says 12 elements of torch.float16" },
	{ { "t", "FloatStorage", "0", INT64_MAX, 0, 1, { 2 }, { 1 } }, SK_EFORMAT, "9223372036854775807 elements" },
	{ { "t", "FloatStorage", "0", -1, 0, 1, { 2 }, { 1 } }, SK_EFORMAT, "a storage that is not described as one" },
	{ { "t", "FloatStorage", "9", 12, 0, 1, { 2 }, { 1 } }, SK_EFORMAT, "its storage 9 is not in the file" },
	{ { "t", "FloatStorage", "../version", 12, 0, 1, { 2 }, { 1 } }, SK_EFORMAT, "its storage ../version is not in the file" },
	{ { "t", "QInt8Storage", "0", 12, 0, 1, { 2 }, { 1 } }, SK_ENOTSUP, "it names torch.QInt8Storage" },
	{ { "t", "OddStorage", "0", 12, 0, 1, { 2 }, { 1 } }, SK_ENOTSUP, "it names torch.OddStorage: only tensors" },
	{ { "t", "float32", "0", 12, 0, 1, { 2 }, { 1 } }, SK_EFORMAT, "a storage whose type is none" },
	{ { "t", "Size", "0", 12, 0, 1, { 2 }, { 1 } }, SK_EFORMAT, "a storage whose type is none" },
	{ { "", "FloatStorage", "0", 12, 0, 1, { 2 }, { 1 } }, SK_EFORMAT, "the name of a tensor is empty" },
};
enum { TENSORS = sizeof(tensors) / sizeof(tensors[0]) };

START_TEST(a_lying_tensor_is_refused_by_name)
{
	save_tensors(&tensors[_i].t, 1, 12, false);
	refused(tensors[_i].want, tensors[_i].words);
}
END_TEST

START_TEST(many_copies_of_one_storage_are_refused)
{
	struct tiny_torch_tensor t[300];
	char names[300][8];

	for (int i = 0; i < 300; i++) {
		snprintf(names[i], sizeof(names[i]), "t%d", i);
		t[i] = (struct tiny_torch_tensor){ names[i], "FloatStorage", "0", 12, 0, 2, { 20, 20 + i }, { 0, 0 } };
	}
	save_tensors(t, 300, 12, false);
	refused(SK_ETOOBIG, "copied with ");
}
END_TEST

START_TEST(a_dimension_of_one_may_have_any_stride)
{
	const struct tiny_torch_tensor t[2] = { { "t", "FloatStorage", "0", 12, 2, 4, { 1, 2, 1, 4 }, { 77, 4, 0, 1 } },
						{ "u", "FloatStorage", "0", 12, 2, 1, { 8 }, { 1 } } };
	struct sk_weights *w;

	save_tensors(t, 2, 12, false);
	w = open_good(dir);
	ck_assert_mem_eq(sk_weights_find(w, "t")->data, data + 2, 32);
	ck_assert_ptr_eq(sk_weights_find(w, "t")->data, sk_weights_find(w, "u")->data);         /* in place */
	sk_weights_close(&w);
}
END_TEST

START_TEST(four_dimensions_in_any_order_are_copied)
{
	const struct tiny_torch_tensor t = { "t", "FloatStorage", "0", 12, 0, 4, { 2, 3, 1, 2 }, { 1, 4, 9, 2 } };
	const float want[12] = { 0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11 };
	struct sk_weights *w;

	save_tensors(&t, 1, 12, false);
	w = open_good(dir);
	ck_assert_mem_eq(sk_weights_find(w, "t")->data, want, 48);
	sk_weights_close(&w);
}
END_TEST

START_TEST(the_same_view_is_copied_once)
{
	const struct tiny_torch_tensor t[4] = { { "t", "FloatStorage", "0", 12, 0, 2, { 4, 3 }, { 1, 4 } },
						{ "u", "FloatStorage", "0", 12, 0, 2, { 4, 3 }, { 1, 4 } },
						{ "v", "FloatStorage", "0", 12, 1, 2, { 3, 3 }, { 1, 4 } },
						{ "w", "FloatStorage", "0", 12, 0, 2, { 2, 6 }, { 1, 2 } } };
	const float want[12] = { 0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11 };
	struct sk_weights *w;

	save_tensors(t, 4, 12, false);
	w = open_good(dir);
	ck_assert_mem_eq(sk_weights_find(w, "t")->data, want, 48);
	ck_assert_ptr_eq(sk_weights_find(w, "t")->data, sk_weights_find(w, "u")->data);
	ck_assert_ptr_ne(sk_weights_find(w, "t")->data, sk_weights_find(w, "v")->data);
	ck_assert_ptr_ne(sk_weights_find(w, "t")->data, sk_weights_find(w, "w")->data);
	sk_weights_close(&w);
}
END_TEST

START_TEST(a_name_twice_is_refused)
{
	const struct tiny_torch_tensor t[2] = { { "t", "FloatStorage", "0", 12, 0, 1, { 2 }, { 1 } },
						{ "t", "FloatStorage", "0", 12, 2, 1, { 2 }, { 1 } } };

	save_tensors(t, 2, 12, false);
	refused(SK_EFORMAT, "tensor t is there twice");
}
END_TEST

/* ---- pickles -------------------------------------------------------------------------------------------------- */

#define P(bytes) bytes, sizeof(bytes) - 1
#define STORAGE "(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0" "0X\3\0\0\0cpuK\14tQ"
#define TENSOR "ctorch._utils\n_rebuild_tensor_v2\n(" STORAGE "K\0K\2\x85K\1\x85\211ccollections\nOrderedDict\n)RtR"

static const struct { const char *bytes; size_t len; } good_pickles[] = {
	{ P("\x80\2}X\1\0\0\0t" TENSOR "s.") },
	{ P("\x80\2}q\0(X\1\0\0\0tq\1" TENSOR "q\2u.") },
	{ P("\x80\4\x95\0\0\0\0\0\0\0\0}\x94(\x8c\1t\x94" TENSOR "\x94u.") },
	{ P("\x80\2ccollections\nOrderedDict\n)R(X\1\0\0\0t" TENSOR "u}X\11\0\0\0_metadata}sb.") },
	{ P("\x80\2ccollections\nOrderedDict\n](X\1\0\0\0t" TENSOR "\x86" "e\x85R.") },
	{ P("\x80\2}X\1\0\0\0tctorch._utils\n_rebuild_parameter\n(" TENSOR "\x88}tRs.") },
	{ P("\x80\2}X\1\0\0\0tctorch._utils\n_rebuild_tensor\n(" STORAGE "K\0K\2\x85K\1\x85tRs.") },
	{ P("\x80\4}\x8c\1t\x8c\14torch._utils\x8c\22_rebuild_tensor_v2\x93(" STORAGE "K\0K\2\x85K\1\x85\x89}tRs.") },
	{ P("\x80\2}(X\1\0\0\0t" TENSOR "X\1\0\0\0aNX\1\0\0\0b]K\1aK\5G\0\0\0\0\0\0\0\0u.") },
	{ P("\x80\2}X\5\0\0\0model}X\6\0\0\0module}X\1\0\0\0t" TENSOR "sss.") },
	{ P("\x80\2}(X\1\0\0\0t" TENSOR "X\4\0\0\0sizectorch\nSize\nK\2\x85\x85RX\5\0\0\0dtypectorch\nfloat16\nu.") },
	/* A list that holds itself, a dictionary that holds itself: beside the tensor they do no harm. */
	{ P("\x80\2}q\0(X\1\0\0\0t" TENSOR "X\1\0\0\0l]q\1h\1aX\1\0\0\0dh\0u.") },
};
enum { GOOD_PICKLES = sizeof(good_pickles) / sizeof(good_pickles[0]) };

START_TEST(what_torch_may_write_is_read)
{
	struct sk_weights *w;

	save_zip(good_pickles[_i].bytes, good_pickles[_i].len, 12, false);
	w = open_good(dir);
	ck_assert_uint_eq(sk_weights_len(w), 1);
	ck_assert_mem_eq(sk_weights_find(w, "t")->data, data, 8);
	sk_weights_close(&w);
}
END_TEST

static const struct { const char *bytes; size_t len; sk_status want; const char *words; } pickles[] = {
	{ P("\x80\2cos\nsystem\n(X\4\0\0\0truetR."), SK_ENOTSUP, "it names os.system: only tensors and what holds them are read" },
	{ P("\x80\2c__builtin__\neval\n."), SK_ENOTSUP, "it names __builtin__.eval" },
	{ P("\x80\2cbuiltins\nexec\n."), SK_ENOTSUP, "it names builtins.exec" },
	{ P("\x80\2ctorch.storage\n_load_from_bytes\n."), SK_ENOTSUP, "it names torch.storage._load_from_bytes" },
	{ P("\x80\2ctorch\nload\n."), SK_ENOTSUP, "it names torch.load" },
	{ P("\x80\4\x8c\2os\x8c\6system\x93."), SK_ENOTSUP, "it names os.system" },
	{ P("\x80\4K\1K\2\x93."), SK_EFORMAT, "a name that is no string" },
	{ P("\x80\2ca\x1b[31m\nb\n."), SK_ENOTSUP, "it names a?[31m.b" },
	{ P("(S'true'\nios\nsystem\n."), SK_ENOTSUP, "instruction STRING" },
	{ P("(ios\nsystem\n."), SK_ENOTSUP, "instruction INST" },
	{ P("(cos\nsystem\no."), SK_ENOTSUP, "it names os.system" },
	{ P("(ctorch\nSize\no."), SK_ENOTSUP, "instruction OBJ" },
	{ P("\x80\2ctorch\nSize\n)\x81."), SK_ENOTSUP, "instruction NEWOBJ" },
	{ P("\x80\4ctorch\nSize\n)}\x92."), SK_ENOTSUP, "instruction NEWOBJ_EX" },
	{ P("\x80\2\x82\1."), SK_ENOTSUP, "instruction EXT1" },
	{ P("\x80\2Pabc\n."), SK_ENOTSUP, "instruction PERSID" },
	{ P("\x80\4\x8f."), SK_ENOTSUP, "instruction EMPTY_SET" },
	{ P("\x80\2N2."), SK_ENOTSUP, "instruction DUP" },
	{ P("\x80\2\xff."), SK_EFORMAT, "0xff is no instruction" },
	{ P("\x80\6."), SK_ENOTSUP, "protocol 6, the last known is 5" },
	{ P("\x80\2ctorch\nFloatStorage\n)R."), SK_ENOTSUP, "a call of FloatStorage" },
	{ P("\x80\2ctorch\nfloat16\n)R."), SK_ENOTSUP, "a call of torch.float16" },
	{ P("\x80\2ctorch\nUntypedStorage\n)R."), SK_ENOTSUP, "a call of UntypedStorage" },
	{ P("\x80\2}}R."), SK_EFORMAT, "a call of a dictionary with a dictionary" },
	{ P("\x80\2ctorch._utils\n_rebuild_tensor_v2\n)R."), SK_EFORMAT, "wrong arguments for torch._utils._rebuild_tensor_v2" },
	{ P("\x80\2ctorch._utils\n_rebuild_parameter\n)R."), SK_EFORMAT, "wrong arguments for torch._utils._rebuild_parameter" },
	{ P("\x80\2ctorch._utils\n_rebuild_parameter\nN\x85R."), SK_EFORMAT, "wrong arguments for" },
	{ P("\x80\2ctorch._utils\n_rebuild_tensor_v3\n(" STORAGE "K\0K\2\x85K\1\x85\x89}NtR."), SK_EFORMAT, "wrong arguments for" },
	{ P("\x80\2ctorch._utils\n_rebuild_tensor\n(" STORAGE "K\0K\2\x85)tR."), SK_EFORMAT, "wrong arguments for" },
	{ P("\x80\2ctorch._utils\n_rebuild_tensor\n(" STORAGE "K\0(K\1K\1K\1K\1K\1K\1K\1K\1K\1t)tR."), SK_ETOOBIG, "a tensor of 9 dimensions, the limit is 8" },
	{ P("\x80\2ccollections\nOrderedDict\n]K\1a\x85R."), SK_EFORMAT, "wrong arguments for collections.OrderedDict" },
	{ P("\x80\2ccollections\nOrderedDict\nK\1\x85R."), SK_EFORMAT, "wrong arguments for collections.OrderedDict" },
	{ P("\x80\2NQ."), SK_EFORMAT, "a storage that is None, not a tuple of five" },
	{ P("\x80\2(NNNNNtQ."), SK_EFORMAT, "a storage that is not described as one" },
	{ P("\x80\2(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0" "0X\3\0\0\0cpuK\14)tQ."), SK_ENOTSUP, "a storage that is a view of another" },
	{ P("\x80\2]K\1b."), SK_ENOTSUP, "a state for a list" },
	{ P("\x80\2ctorch\nSize\n}b."), SK_ENOTSUP, "a state for a name" },
	{ P("\x80\2}X\1\0\0\0ta."), SK_ENOTSUP, "items for a dictionary, which is no list" },
	{ P("\x80\2]K\1K\2s."), SK_ENOTSUP, "items for a list, which is no dictionary" },
	{ P("\x80\2}(K\1u."), SK_EFORMAT, "a key without a value" },
	{ P("\x80\2a."), SK_EFORMAT, "the stack is empty" },
	{ P("\x80\2(u."), SK_EFORMAT, "the stack is empty" },
	{ P("\x80\2t."), SK_EFORMAT, "there is no mark" },
	{ P("\x80\2K\1(\x85t."), SK_EFORMAT, "the stack is empty" },
	{ P("\x80\2K\1(R."), SK_EFORMAT, "the stack is empty" },
	{ P("\x80\2q\0."), SK_EFORMAT, "the stack is empty" },
	{ P("\x80\2h\0."), SK_EFORMAT, "number 0 of the memo, where nothing is" },
	{ P("\x80\2Nq\2h\1."), SK_EFORMAT, "number 1 of the memo, where nothing is" },
	{ P("\x80\2Nr\xff\xff\xff\xff."), SK_ETOOBIG, "number 4294967295 of the memo, the limit is 2097152" },
	{ P("\x80\2j\xff\xff\xff\xff."), SK_EFORMAT, "number 4294967295 of the memo, where nothing is" },
	{ P("\x80\2."), SK_EFORMAT, "the stack is empty" },
	{ P("\x80\2NN."), SK_EFORMAT, "1 values and 0 marks are left at the end" },
	{ P("\x80\2N(."), SK_EFORMAT, "the stack is empty" },
	{ P("\x80\2N"), SK_EFORMAT, "truncated: 1 bytes are needed, 0 are left" },
	{ P("\x80\2X\xff\xff\xff\xff" "abc"), SK_EFORMAT, "truncated: 4294967295 bytes are needed, 3 are left" },
	{ P("\x80\2X\1\0"), SK_EFORMAT, "truncated: 4 bytes are needed, 2 are left" },
	{ P("\x80\2\x8a\xff" "1"), SK_EFORMAT, "truncated: 255 bytes are needed, 1 are left" },
	{ P("\x80\2ctorch"), SK_EFORMAT, "a name that does not end" },
	{ P("\x80\2}."), SK_EFORMAT, "no dictionary of tensors is in its pickle" },
	{ P("\x80\2N."), SK_EFORMAT, "no dictionary of tensors is in its pickle" },
	{ P("\x80\2]" TENSOR "a."), SK_EFORMAT, "no dictionary of tensors is in its pickle" },
	{ P("\x80\2}K\1" TENSOR "s."), SK_EFORMAT, "a tensor whose name is no string" },
	{ P("\x80\2}q\0X\5\0\0\0modelh\0s."), SK_EFORMAT, "no dictionary of tensors is in its pickle" },
};
enum { PICKLES = sizeof(pickles) / sizeof(pickles[0]) };

START_TEST(a_wrong_pickle_is_refused_by_name)
{
	save_zip(pickles[_i].bytes, pickles[_i].len, 12, false);
	refused(pickles[_i].want, pickles[_i].words);
}
END_TEST

static const struct { const char *piece; size_t len, times; const char *words; } endless[] = {
	{ P("("), 1000, "nested deeper than 256" },
	{ P("N"), 300000, "more than 262144 values on the stack" },
	{ P("Nq\0"), 300000, "more than 262144 values on the stack" },
	{ P("X\0\0\0\0\x85"), 300000, "more than 262144 values on the stack" },
};

START_TEST(an_endless_pickle_is_refused)
{
	struct tiny_buf b = { 0 };

	for (size_t i = 0; i < sizeof(endless) / sizeof(endless[0]); i++) {
		b.len = 0;
		tiny_pk_begin(&b);
		for (size_t n = 0; n < endless[i].times; n++)
			tiny_add(&b, endless[i].piece, endless[i].len);
		save_zip(b.data, b.len, 12, false);
		refused(SK_ETOOBIG, endless[i].words);
	}
	/* Two million values that leave the stack again. */
	b.len = 0;
	tiny_pk_begin(&b);
	tiny_add(&b, "]", 1);
	for (size_t n = 0; n < 2200000; n++)
		tiny_add(&b, "Na", 2);
	save_zip(b.data, b.len, 12, false);
	refused(SK_ETOOBIG, "more than 2097152 values");
	free(b.data);
}
END_TEST

/* ---- zips ----------------------------------------------------------------------------------------------------- */

static void patch(size_t at, const void *bytes, size_t len)
{
	FILE *f = fopen(path, "r+b");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fseek(f, (long)at, SEEK_SET), 0);
	ck_assert_uint_eq(fwrite(bytes, 1, len, f), len);
	fclose(f);
}

/* The n-th place of `mark` in the file, from 0. */
static size_t place_of(const char *mark, size_t mark_len, int n)
{
	static unsigned char file[8192];
	FILE *f = fopen(path, "rb");
	size_t len = fread(file, 1, sizeof(file), f);

	fclose(f);
	for (size_t i = 0; i + mark_len <= len; i++)
		if (!memcmp(file + i, mark, mark_len) && n-- == 0)
			return i;
	ck_abort_msg("no such mark");
	return 0;
}

/* A field of the n-th local header ('l'), central one ('c'), or of the end record ('e'), its zip64 record ('6'), the locator ('7'). */
static const struct { char where; int n; size_t field; const char *bytes; size_t len; bool zip64; sk_status want; const char *words; } zips[] = {
	{ 'c', 2, 10, P("\x08\0"), false, SK_ENOTSUP, "entry archive/data/0 is deflated: only stored entries are read" },
	{ 'c', 2, 10, P("\x0c\0"), false, SK_ENOTSUP, "entry archive/data/0 is compressed by method 12" },
	{ 'c', 2, 8, P("\1\0"), false, SK_ENOTSUP, "entry archive/data/0 is encrypted" },
	{ 'c', 2, 20, P("\1\0\0\0"), false, SK_EFORMAT, "is stored as it is, but its 1 bytes become 48" },
	{ 'c', 2, 20, P("\0\0\0\xf0\0\0\0\xf0"), false, SK_EFORMAT, "entry archive/data/0 claims 4026531840 bytes" },
	{ 'c', 2, 20, P("\x2c\0\0\0\x2c\0\0\0"), false, SK_EFORMAT, "has 44 bytes by the zip's directory, 48 by its own header" },
	{ 'c', 2, 20, P("\xff\xff\xff\xff\xff\xff\xff\xff"), false, SK_EFORMAT, "entry archive/data/0 claims 4294967295 bytes" },
	{ 'c', 2, 42, P("\0\0\0\x70"), false, SK_EFORMAT, "at byte 1879048192, the file has" },
	{ 'c', 2, 42, P("\1\0\0\0"), false, SK_EFORMAT, "entry archive/data/0 should begin at byte 1, and does not" },
	{ 'c', 2, 42, P("\0\0\0\0"), false, SK_EFORMAT, "entry archive/data/0 has another name in its own header" },
	{ 'c', 2, 28, P("\0\0"), false, SK_ETOOBIG, "a name of 0 bytes" },
	{ 'c', 3, 28, P("\xff\xff"), false, SK_EFORMAT, "is cut" },
	{ 'c', 1, 0, P("XXXX"), false, SK_EFORMAT, "no entry of the zip's directory at byte" },
	{ 'l', 2, 0, P("XXXX"), false, SK_EFORMAT, "entry archive/data/0 should begin at byte" },
	{ 'l', 2, 8, P("\x08\0"), false, SK_EFORMAT, "is stored in another way by its own header" },
	{ 'l', 2, 18, P("\7\0\0\0"), false, SK_EFORMAT, "has 48 bytes by the zip's directory, 7 by its own header" },
	{ 'l', 2, 28, P("\xff\xff"), false, SK_EFORMAT, "goes into the directory" },
	{ 'l', 2, 30, P("X"), false, SK_EFORMAT, "entry archive/data/0 has another name" },
	{ 'e', 0, 0, P("XXXX"), false, SK_EFORMAT, "truncated: no end record of a zip file" },
	{ 'e', 0, 20, P("\1\0"), false, SK_EFORMAT, "truncated: no end record of a zip file" },
	{ 'e', 0, 10, P("\xff\0"), false, SK_EFORMAT, "255 entries do not fit the zip's directory" },
	{ 'e', 0, 10, P("\5\0"), false, SK_EFORMAT, "no entry of the zip's directory at byte" },
	{ 'e', 0, 12, P("\xff\xff\xff\x7f"), false, SK_EFORMAT, "goes over the file's" },
	{ 'e', 0, 16, P("\xff\xff\xff\x7f"), false, SK_EFORMAT, "goes over the file's" },
	{ 'e', 0, 16, P("\0\0\0\0"), false, SK_EFORMAT, "no entry of the zip's directory at byte 0" },
	{ '6', 0, 32, P("\xff\xff\xff\xff\xff\xff\xff\xff"), true, SK_ETOOBIG, "18446744073709551615 entries in the zip file, the limit is" },
	{ '6', 0, 48, P("\xff\xff\xff\xff\xff\xff\xff\xff"), true, SK_EFORMAT, "goes over the file's" },
	{ '6', 0, 40, P("\xff\xff\xff\xff\xff\xff\xff\xff"), true, SK_EFORMAT, "goes over the file's" },
	{ 'e', 0, 10, P("\3\0"), true, SK_EFORMAT, "the two end records of the zip file differ" },
	{ '7', 0, 8, P("\xff\xff\xff\xff\xff\xff\xff\xff"), true, SK_EFORMAT, "the zip64 end record should be at byte" },
	{ '7', 0, 8, P("\0\0\0\0\0\0\0\0"), true, SK_EFORMAT, "the zip64 end record should be at byte 0" },
};
enum { ZIPS = sizeof(zips) / sizeof(zips[0]) };

START_TEST(a_lying_zip_is_refused_by_name)
{
	const struct tiny_torch_tensor t = { "t", "FloatStorage", "0", 12, 0, 1, { 2 }, { 1 } };
	static const struct { char where; const char *mark; } marks[] = {
		{ 'l', "PK\3\4" }, { 'c', "PK\1\2" }, { 'e', "PK\5\6" }, { '6', "PK\6\6" }, { '7', "PK\6\7" },
	};

	save_tensors(&t, 1, 12, zips[_i].zip64);
	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
		if (marks[i].where == zips[_i].where)
			patch(place_of(marks[i].mark, 4, zips[_i].n) + zips[_i].field, zips[_i].bytes, zips[_i].len);
	refused(zips[_i].want, zips[_i].words);
}
END_TEST

START_TEST(entries_that_share_bytes_are_refused)
{
	const struct tiny_torch_tensor t = { "t", "FloatStorage", "0", 12, 0, 1, { 2 }, { 1 } };
	struct tiny_buf pickle = { 0 };
	struct tiny_zip inner = { 0 }, z = { 0 };
	size_t at;

	/* A whole entry as the data of another. */
	tiny_pk_state_dict(&pickle, &t, 1);
	tiny_zip_add(&inner, "archive/data/0", data, sizeof(data));
	tiny_zip_add(&z, "archive/data.pkl", pickle.data, pickle.len);
	tiny_zip_add(&z, "archive/holder", inner.file.data, inner.file.len);
	at = z.file.len - inner.file.len;
	memcpy(inner.central.data + 42, &(uint32_t){ (uint32_t)at }, 4);
	tiny_add(&z.central, inner.central.data, inner.central.len);
	z.entries++;
	tiny_zip_end(&z);
	tiny_save(z.file.data, z.file.len, path);
	free(z.file.data);
	free(inner.file.data);
	free(inner.central.data);
	free(pickle.data);
	refused(SK_EFORMAT, "entries archive/holder and archive/data/0 of the zip file share bytes");
}
END_TEST

static const struct { const char *names[4]; sk_status want; const char *words; } layouts[] = {
	{ { "archive/data/0" }, SK_EFORMAT, "a zip file without data.pkl" },
	{ { "data.pkl", "data/0" }, SK_EFORMAT, "a zip file, but not as torch.save writes it" },
	{ { "archive/data.pkl", "other/data/0" }, SK_EFORMAT, "its storage 0 is not in the file" },
	{ { "archive/data.pkl", "archive/data/0", "archive/constants.pkl" }, SK_ENOTSUP, "a TorchScript archive" },
	{ { "archive/data.pkl", "archive/data/0", "archive/byteorder" }, SK_ENOTSUP, "its byte order is not little endian" },
	{ { "archive/data.pkl", "archive/data.pkl" }, SK_EFORMAT, "entry archive/data.pkl is there twice" },
};
enum { LAYOUTS = sizeof(layouts) / sizeof(layouts[0]) };

START_TEST(a_zip_that_torch_has_not_written_is_refused)
{
	const struct tiny_torch_tensor t = { "t", "FloatStorage", "0", 12, 0, 1, { 2 }, { 1 } };
	struct tiny_buf pickle = { 0 };
	struct tiny_zip z = { 0 };

	tiny_pk_state_dict(&pickle, &t, 1);
	for (int i = 0; i < 4 && layouts[_i].names[i]; i++) {
		const char *name = layouts[_i].names[i];

		if (strstr(name, ".pkl"))
			tiny_zip_add(&z, name, pickle.data, pickle.len);
		else if (strstr(name, "byteorder"))
			tiny_zip_add(&z, name, "big", 3);
		else
			tiny_zip_add(&z, name, data, sizeof(data));
	}
	tiny_zip_end(&z);
	tiny_save(z.file.data, z.file.len, path);
	free(z.file.data);
	free(pickle.data);
	refused(layouts[_i].want, layouts[_i].words);
}
END_TEST

START_TEST(a_file_cut_at_any_byte_is_refused)
{
	const struct tiny_torch_tensor t = { "t", "FloatStorage", "0", 12, 0, 1, { 2 }, { 1 } };
	size_t len;

	save_tensors(&t, 1, 12, true);
	len = place_of("PK\5\6", 4, 0) + 22;
	for (size_t cut = len - 1; cut > 0; cut--) {
		struct sk_weights *w = NULL;
		struct sk_err err = { 0 };

		ck_assert_int_eq(truncate(path, (off_t)cut), 0);
		ck_assert_int_eq(sk_weights_open(dir, &w, &err), SK_EFORMAT);
		ck_assert_msg(cut < 8 || strstr(err.text, "truncated"), "%zu: %s", cut, err.text);
	}
}
END_TEST

/* ---- files before 1.6 ----------------------------------------------------------------------------------------- */

/* The head, the dictionary, the keys, and whatever is given of the storages. */
static void save_old(const char *head, size_t head_len, const char *keys, size_t keys_len, uint64_t elements, size_t bytes)
{
	const struct tiny_torch_tensor t = { "t", "FloatStorage", "0", 12, 0, 1, { 2 }, { 1 } };
	struct tiny_buf b = { 0 };

	tiny_add(&b, "\x80\2\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15);
	tiny_add(&b, head, head_len);
	tiny_pk_state_dict(&b, &t, 1);
	tiny_add(&b, keys, keys_len);
	tiny_u64(&b, elements);
	tiny_add(&b, data, bytes);
	tiny_save(b.data, b.len, path);
	free(b.data);
}

#define HEAD "\x80\2M\xe9\3.\x80\2}X\15\0\0\0little_endian\x88s."
#define KEYS "\x80\2]X\1\0\0\0" "0a."

static const struct { const char *head; size_t head_len; const char *keys; size_t keys_len; uint64_t elements; size_t bytes;
		      sk_status want; const char *words; } olds[] = {
	{ P(HEAD), P(KEYS), 12, 48, SK_OK, "" },
	{ P("\x80\2M\xe8\3.\x80\2}."), P(KEYS), 12, 48, SK_ENOTSUP, "a torch file before 1.6 of a protocol that is not 1001" },
	{ P("\x80\2M\xe9\3.\x80\2}X\15\0\0\0little_endian\x89s."), P(KEYS), 12, 48, SK_ENOTSUP, "its byte order is not little endian" },
	{ P(HEAD), P("\x80\2}."), 12, 48, SK_EFORMAT, "the list of its storages is none" },
	{ P(HEAD), P("\x80\2]K\0a."), 12, 48, SK_EFORMAT, "a storage whose key is no string" },
	{ P(HEAD), P("\x80\2]X\1\0\0\0" "1a."), 12, 48, SK_EFORMAT, "storage 1 is in the file, but the pickle does not know it" },
	{ P(HEAD), P("\x80\2]."), 12, 48, SK_EFORMAT, "56 bytes follow the last storage" },
	{ P(HEAD), P(KEYS), 13, 48, SK_EFORMAT, "truncated: storage 0 claims 13 elements of 4 bytes, 56 bytes are left" },
	{ P(HEAD), P(KEYS), UINT64_MAX, 48, SK_EFORMAT, "storage 0 claims 18446744073709551615 elements" },
	{ P(HEAD), P(KEYS), 11, 44, SK_EFORMAT, "its storage 0 has 44 bytes, the pickle says 12 elements" },
	{ P(HEAD), P(KEYS), 11, 48, SK_EFORMAT, "4 bytes follow the last storage" },
};
enum { OLDS = sizeof(olds) / sizeof(olds[0]) };

START_TEST(the_older_form_is_read_and_its_lies_are_named)
{
	struct sk_weights *w;

	save_old(olds[_i].head, olds[_i].head_len, olds[_i].keys, olds[_i].keys_len, olds[_i].elements, olds[_i].bytes);
	if (olds[_i].want != SK_OK) {
		refused(olds[_i].want, olds[_i].words);
		return;
	}
	w = open_good(dir);
	ck_assert_mem_eq(sk_weights_find(w, "t")->data, data, 8);
	sk_weights_close(&w);
}
END_TEST

START_TEST(what_is_no_torch_file_is_refused)
{
	tiny_save("GGUF0123", 8, path);
	refused(SK_EFORMAT, "not a file of torch.save: it begins with 0x47475546");
	tiny_save("PK\3\4" "0123456789", 14, path);
	refused(SK_EFORMAT, "no end record of a zip file in its last 14 bytes");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("torch");
	TCase *t = tcase_create("torch");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, what_torch_and_safetensors_have_written_comes_back, 0, FOLDERS);
	tcase_add_test(t, what_lies_in_one_piece_is_not_copied);
	tcase_add_test(t, a_dictionary_inside_is_found);
	tcase_add_test(t, what_transformers_writes_is_metadata);
	tcase_add_test(t, zip64_is_read);
	tcase_add_test(t, an_empty_view_may_begin_anywhere);
	tcase_add_loop_test(t, a_lying_tensor_is_refused_by_name, 0, TENSORS);
	tcase_add_test(t, many_copies_of_one_storage_are_refused);
	tcase_add_test(t, a_dimension_of_one_may_have_any_stride);
	tcase_add_test(t, four_dimensions_in_any_order_are_copied);
	tcase_add_test(t, the_same_view_is_copied_once);
	tcase_add_test(t, a_name_twice_is_refused);
	tcase_add_loop_test(t, what_torch_may_write_is_read, 0, GOOD_PICKLES);
	tcase_add_loop_test(t, a_wrong_pickle_is_refused_by_name, 0, PICKLES);
	tcase_add_test(t, an_endless_pickle_is_refused);
	tcase_add_loop_test(t, a_lying_zip_is_refused_by_name, 0, ZIPS);
	tcase_add_test(t, entries_that_share_bytes_are_refused);
	tcase_add_loop_test(t, a_zip_that_torch_has_not_written_is_refused, 0, LAYOUTS);
	tcase_add_test(t, a_file_cut_at_any_byte_is_refused);
	tcase_add_loop_test(t, the_older_form_is_read_and_its_lies_are_named, 0, OLDS);
	tcase_add_test(t, what_is_no_torch_file_is_refused);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
