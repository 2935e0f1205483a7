/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening a checkpoint: a file by its first bytes, a directory by dir.c; what the formats share; looking things up by name;
 * reading parts of a tensor. What the bytes mean is the format's business.
 */
#include "engine/weights/format.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>

static const struct sk_weights_format *const formats[] = {
#define SK_WEIGHTS_FORMAT(symbol) &symbol,
#include "engine/weights/formats.def"
#undef SK_WEIGHTS_FORMAT
};
enum { FORMATS = sizeof(formats) / sizeof(formats[0]) };

const char *sk_weights_show(char out[SK_SHOWN], const void *name, size_t len)
{
	const unsigned char *s = name;
	size_t n = len < SK_SHOWN - 4 ? len : SK_SHOWN - 4;

	for (size_t i = 0; i < n; i++)
		out[i] = s[i] >= 32 && s[i] < 127 ? (char)s[i] : '?';
	memcpy(out + n, "...", 4);
	if (n == len)
		out[n] = 0;
	return out;
}

/* ---- for the formats ------------------------------------------------------------------------------------------ */

char *sk_weights_join(struct sk_weights *w, const char *dir, const char *name)
{
	size_t d = strlen(dir), n = strlen(name);
	char *path = sk_arena_take(&w->names, d + n + 2);

	if (!path)
		return NULL;
	memcpy(path, dir, d);
	if (d == 0 || dir[d - 1] != '/')
		path[d++] = '/';
	memcpy(path + d, name, n);
	return path;
}

sk_status sk_weights_grow(void **items, size_t item_bytes, size_t len, size_t *cap)
{
	size_t more = *cap ? *cap * 2 : 16;
	void *p;

	if (len < *cap)
		return SK_OK;
	p = realloc(*items, more * item_bytes);
	if (!p)
		return SK_ENOMEM;
	memset((char *)p + *cap * item_bytes, 0, (more - *cap) * item_bytes);
	*items = p;
	*cap = more;
	return SK_OK;
}

/* The file that the tensor is in; NULL: a copy. */
static const struct sk_weights_file *file_of(const struct sk_weights *w, const struct sk_tensor *t)
{
	uintptr_t at = (uintptr_t)t->data;

	for (size_t i = 0; i < w->files_len; i++) {
		uintptr_t begin = (uintptr_t)w->files[i].map.data;

		if (at >= begin && at - begin < w->files[i].map.len)
			return &w->files[i];
	}
	return NULL;
}

sk_status sk_weights_add(struct sk_weights *w, const struct sk_weights_file *f, const char *name, size_t name_len,
			 const struct sk_tensor *t, struct sk_err *err)
{
	char shown[SK_SHOWN], *copy;
	int32_t at;

	sk_weights_show(shown, name, name_len);
	if (name_len == 0 || memchr(name, 0, name_len))
		return sk_fail(err, SK_EFORMAT, "%s: the name of a tensor is empty or holds a NUL byte", f->path);
	if (name_len > SK_TENSOR_NAME_MAX)
		return sk_fail(err, SK_ETOOBIG, "%s: tensor %s: a name of %zu bytes, the limit is %d", f->path, shown, name_len,
			       SK_TENSOR_NAME_MAX);
	at = sk_table_find(&w->shard_index, name, name_len, -1);
	if (at >= 0 && f != &w->files[at])
		return SK_OK;
	at = sk_table_find(&w->tensor_index, name, name_len, -1);
	if (at >= 0) {
		const struct sk_weights_file *other = &w->files[w->tensor_file[at]];

		if (other == f)
			return sk_fail(err, SK_EFORMAT, "%s: tensor %s is there twice", f->path, shown);
		return sk_fail(err, SK_EFORMAT, "%s: tensor %s is in %s too", f->path, shown, other->name);
	}
	if (w->tensors_len >= SK_TENSORS_MAX)
		return sk_fail(err, SK_ETOOBIG, "%s: more than %d tensors", f->path, SK_TENSORS_MAX);
	copy = sk_arena_strndup(&w->names, name, name_len);
	if (!copy || sk_weights_grow((void **)&w->tensor_file, sizeof(*w->tensor_file), w->tensors_len, &w->tensor_file_cap) < 0 ||
	    sk_weights_grow((void **)&w->tensors, sizeof(*w->tensors), w->tensors_len, &w->tensors_cap) < 0 ||
	    sk_table_put(&w->tensor_index, copy, name_len, (int32_t)w->tensors_len) < 0)
		return sk_fail(err, SK_ENOMEM, "%s: out of memory for the tensors' names", f->path);
	w->tensor_file[w->tensors_len] = (uint16_t)(f - w->files);
	w->tensors[w->tensors_len] = *t;
	w->tensors[w->tensors_len++].name = copy;
	return SK_OK;
}

bool sk_tensor_shape(struct sk_tensor *t, const int64_t *dim, size_t dims)
{
	int64_t product = 1;

	t->dims = 1;
	t->dim[0] = 1;
	for (size_t i = 0; i < dims; i++) {
		if (__builtin_mul_overflow(product, dim[i] ? dim[i] : 1, &product))
			return false;
		if (i < 4)
			t->dim[i] = dim[i];
		if (dim[i] == 0)
			t->dtype = SK_DTYPES;
	}
	if (dims > 4) {
		t->dtype = SK_DTYPES;
		t->dim[0] = product;
	} else if (dims) {
		t->dims = (int32_t)dims;
	}
	return true;
}

sk_status sk_weights_take_copy(struct sk_weights *w, const struct sk_weights_file *f, const char *name, size_t bytes,
			       void **ret_data, struct sk_err *err)
{
	uint64_t limit = sk_weights_file_bytes(w);
	void *data;

	if (bytes > limit - w->copies_bytes)
		return sk_fail(err, SK_ETOOBIG, "%s: tensor %s does not lie in one piece, and its %zu bytes, copied with %" PRIu64
			       " of others, would be more than the %" PRIu64 " of the files", f->path, name, bytes,
			       w->copies_bytes, limit);
	if (sk_weights_grow((void **)&w->copies, sizeof(*w->copies), w->copies_len, &w->copies_cap) < 0)
		return sk_fail(err, SK_ENOMEM, "%s: out of memory", f->path);
	data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (data == MAP_FAILED)
		return sk_fail(err, SK_ENOMEM, "%s: tensor %s does not lie in one piece, and there is no memory for a copy of %zu "
			       "bytes", f->path, name, bytes);
	w->copies[w->copies_len++] = (struct sk_weights_copy){ data, bytes };
	w->copies_bytes += bytes;
	*ret_data = data;
	return SK_OK;
}

sk_status sk_weights_refuse_pointer(const char *path, const struct sk_map *map, struct sk_err *err)
{
	static const char mark[] = "version https://git-lfs";

	if (map->len < sizeof(mark) - 1 || memcmp(map->data, mark, sizeof(mark) - 1) != 0)
		return SK_OK;
	return sk_fail(err, SK_EFORMAT, "%s: a git-lfs pointer of %zu bytes, not the file itself: fetch it (git lfs pull)", path,
		       map->len);
}

sk_status sk_weights_map(struct sk_weights_file *f, const char *path, struct sk_err *err)
{
	const char *slash = strrchr(path, '/');
	sk_status st;

	*f = (struct sk_weights_file){ .map.fd = -1, .path = path, .name = slash ? slash + 1 : path };
	st = sk_map_open(&f->map, path, err);
	if (st < 0)
		return st;
	st = sk_weights_refuse_pointer(path, &f->map, err);
	if (st < 0)
		sk_map_fini(&f->map);
	return st;
}

/* ---- open and close ------------------------------------------------------------------------------------------- */

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), e = strlen(end);

	return n > e && !strcasecmp(s + n - e, end);
}

/* A directory's path without the slashes at its end, so that its last part is its name. */
static const char *trim(struct sk_weights *w, const char *path)
{
	size_t len = strlen(path);

	while (len > 1 && path[len - 1] == '/')
		len--;
	return sk_arena_strndup(&w->names, path, len);
}

/* A file of a Hugging Face directory stands for its directory. */
static sk_status open_beside(struct sk_weights *w, const char *path, const struct sk_weights_format *kind, struct sk_err *err)
{
	const char *slash = strrchr(path, '/'), *dir = slash ? sk_arena_strndup(&w->names, path, slash > path ? (size_t)(slash - path) : 1) : ".";

	if (!dir)
		return sk_fail(err, SK_ENOMEM, "%s: out of memory", path);
	return sk_weights_read_dir(w, dir, kind, kind ? slash ? slash + 1 : path : NULL, err);
}

static sk_status open_file(struct sk_weights *w, const char *path, struct sk_err *err)
{
	const struct sk_map *map;
	sk_status st;

	if (ends_with(path, ".safetensors"))
		return open_beside(w, path, &sk_format_safetensors, err);
	if (ends_with(path, ".bin"))
		return open_beside(w, path, &sk_format_torch, err);
	if (ends_with(path, "/config.json") || !strcmp(path, "config.json"))
		return open_beside(w, path, NULL, err);
	w->path = sk_arena_strndup(&w->names, path, strlen(path));
	w->files = calloc(1, sizeof(*w->files));
	if (!w->path || !w->files)
		return sk_fail(err, SK_ENOMEM, "%s: out of memory", path);
	st = sk_weights_map(&w->files[0], w->path, err);
	if (st < 0)
		return st;
	w->files_len = 1;
	map = &w->files[0].map;
	if (map->len < 8)
		return sk_fail(err, SK_EFORMAT, "%s: %zu bytes are too few for a model file", path, map->len);
	if (!sk_format_gguf.probe(map->data, map->len)) {
		for (int i = 0; i < FORMATS; i++)
			if (formats[i]->probe(map->data, map->len))
				return sk_fail(err, SK_EINVAL, "%s: a %s file: name the directory that it is in, with its config.json",
					       path, formats[i]->name);
		return sk_fail(err, SK_EFORMAT, "%s: not a GGUF file: it begins with 0x%02x%02x%02x%02x, not with \"GGUF\"", path,
			       map->data[0], map->data[1], map->data[2], map->data[3]);
	}
	w->format = &sk_format_gguf;
	return w->format->read(w, &w->files[0], err);
}

static sk_status open_dir(struct sk_weights *w, const char *path, struct sk_err *err)
{
	const char *dir = trim(w, path);

	return dir ? sk_weights_read_dir(w, dir, NULL, NULL, err) : sk_fail(err, SK_ENOMEM, "%s: out of memory", path);
}

static sk_status begin(const char *path, struct sk_weights **ret_w, bool *ret_is_dir, struct sk_err *err)
{
	struct sk_weights *w;
	struct stat sb;

	if (stat(path, &sb) != 0)
		return sk_fail(err, errno == ENOENT || errno == ENOTDIR ? SK_ENOENT : SK_EIO, "%s: %s", path, strerror(errno));
	if (!S_ISDIR(sb.st_mode) && !S_ISREG(sb.st_mode))
		return sk_fail(err, SK_EFORMAT, "%s: not a regular file", path);
	w = calloc(1, sizeof(*w));
	if (!w)
		return sk_fail(err, SK_ENOMEM, "%s: out of memory", path);
	sk_arena_init(&w->names, 0);
	*ret_is_dir = S_ISDIR(sb.st_mode);
	*ret_w = w;
	return SK_OK;
}

sk_status sk_weights_open(const char *path, struct sk_weights **ret_w, struct sk_err *err)
{
	struct sk_weights *w = NULL;
	bool is_dir = false;
	sk_status st = begin(path, &w, &is_dir, err);

	if (st < 0)
		return st;
	st = is_dir ? open_dir(w, path, err) : open_file(w, path, err);
	if (st < 0) {
		sk_weights_close(&w);
		return st;
	}
	*ret_w = w;
	return SK_OK;
}

/* Where config.json and generation_config.json are, for a path to the first or to the directory of both. */
static sk_status read_configs(struct sk_weights *w, const char *path, bool is_dir, struct sk_err *err)
{
	const char *slash = strrchr(path, '/'), *config, *generation;
	struct stat sb;
	sk_status st;

	w->form = SK_FORM_HF;
	if (is_dir)
		w->dir = trim(w, path);
	else if (slash)
		w->dir = sk_arena_strndup(&w->names, path, slash > path ? (size_t)(slash - path) : 1);
	else
		w->dir = ".";
	if (!w->dir)
		return sk_fail(err, SK_ENOMEM, "%s: out of memory", path);
	config = is_dir ? sk_weights_join(w, w->dir, "config.json") : sk_arena_strndup(&w->names, path, strlen(path));
	generation = sk_weights_join(w, w->dir, "generation_config.json");
	if (!config || !generation)
		return sk_fail(err, SK_ENOMEM, "%s: out of memory", path);
	w->path = w->dir;
	st = sk_weights_read_config(w, config, NULL, err);
	if (st >= 0 && lstat(generation, &sb) == 0)
		st = sk_weights_read_config(w, generation, "generation_config", err);
	return st;
}

sk_status sk_weights_open_config(const char *path, struct sk_weights **ret_w, struct sk_err *err)
{
	struct sk_weights *w = NULL;
	bool is_dir = false;
	sk_status st = begin(path, &w, &is_dir, err);

	if (st < 0)
		return st;
	st = read_configs(w, path, is_dir, err);
	if (st < 0) {
		sk_weights_close(&w);
		return st;
	}
	*ret_w = w;
	return SK_OK;
}

void sk_weights_close(struct sk_weights **w)
{
	struct sk_weights *x = *w;

	if (!x)
		return;
	*w = NULL;
	sk_table_fini(&x->tensor_index);
	sk_table_fini(&x->meta_index);
	sk_table_fini(&x->shard_index);
	free(x->tensors);
	free(x->tensor_file);
	free(x->metas);
	for (size_t i = 0; i < x->files_len; i++)
		sk_map_fini(&x->files[i].map);
	free(x->files);
	for (size_t i = 0; i < x->copies_len; i++)
		munmap(x->copies[i].data, x->copies[i].bytes);
	free(x->copies);
	sk_arena_fini(&x->names);
	free(x);
}

/* ---- looking up ----------------------------------------------------------------------------------------------- */

enum sk_weights_form sk_weights_form(const struct sk_weights *w) { return w->form; }
const char *sk_weights_format(const struct sk_weights *w) { return w->format ? w->format->name : "config"; }
const char *sk_weights_path(const struct sk_weights *w) { return w->path; }
const char *sk_weights_dir(const struct sk_weights *w) { return w->dir; }
size_t sk_weights_len(const struct sk_weights *w) { return w->tensors_len; }
const struct sk_tensor *sk_weights_at(const struct sk_weights *w, size_t i) { return &w->tensors[i]; }

uint64_t sk_weights_file_bytes(const struct sk_weights *w)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < w->files_len; i++)
		sum += w->files[i].map.len;
	return sum;
}

const struct sk_tensor *sk_weights_find(const struct sk_weights *w, const char *name)
{
	int32_t i = sk_table_find(&w->tensor_index, name, strlen(name), -1);

	return i < 0 ? NULL : &w->tensors[i];
}

const struct sk_meta_value *sk_meta_find(const struct sk_weights *w, const char *key)
{
	int32_t i = sk_table_find(&w->meta_index, key, strlen(key), -1);

	return i < 0 ? NULL : &w->metas[i];
}

int64_t sk_meta_int(const struct sk_weights *w, const char *key, int64_t otherwise)
{
	const struct sk_meta_value *v = sk_meta_find(w, key);

	return v && (v->type == SK_META_INT || v->type == SK_META_BOOL) ? v->i : otherwise;
}

double sk_meta_float(const struct sk_weights *w, const char *key, double otherwise)
{
	const struct sk_meta_value *v = sk_meta_find(w, key);

	if (v && v->type == SK_META_FLOAT)
		return v->f;
	return v && v->type == SK_META_INT ? (double)v->i : otherwise;
}

const char *sk_meta_str(const struct sk_weights *w, const char *key, size_t *ret_len)
{
	const struct sk_meta_value *v = sk_meta_find(w, key);

	if (!v || v->type != SK_META_STRING)
		return NULL;
	*ret_len = v->len;
	return v->s;
}

/* ---- parts of a tensor ---------------------------------------------------------------------------------------- */

/* A copy keeps its pages: dropped, they would read as zeros. */
static void drop(const struct sk_weights *w, const struct sk_tensor *t, size_t offset, size_t bytes)
{
	const struct sk_weights_file *f = t->data ? file_of(w, t) : NULL;

	if (f)
		sk_map_drop(&f->map, (size_t)((const unsigned char *)t->data - f->map.data) + offset, bytes);
}

void sk_weights_drop(const struct sk_weights *w, const struct sk_tensor *t)
{
	drop(w, t, 0, t->bytes);
}

void sk_weights_ahead(const struct sk_weights *w, const struct sk_tensor *t)
{
	const struct sk_weights_file *f = t->data ? file_of(w, t) : NULL;

	if (f)
		sk_map_ahead(&f->map, (size_t)((const unsigned char *)t->data - f->map.data), t->bytes);
}

static size_t columns_bytes(const struct sk_tensor *t, int64_t columns)
{
	const struct sk_quant *q = sk_quant_get(t->dtype);

	return (size_t)columns / q->block_len * q->block_bytes;
}

static size_t row_bytes(const struct sk_tensor *t)
{
	return t->bytes / (size_t)t->dim[0];
}

const void *sk_tensor_rows(const struct sk_tensor *t, int64_t first, int64_t rows, size_t *ret_bytes)
{
	(void)SK_BUG_IF(t->dtype == SK_DTYPES || first < 0 || rows <= 0 || first > t->dim[0] - rows);
	*ret_bytes = row_bytes(t) * (size_t)rows;
	return (const unsigned char *)t->data + row_bytes(t) * (size_t)first;
}

void sk_weights_drop_rows(const struct sk_weights *w, const struct sk_tensor *t, int64_t first, int64_t rows)
{
	(void)SK_BUG_IF(t->dtype == SK_DTYPES || first < 0 || rows <= 0 || first > t->dim[0] - rows);
	drop(w, t, row_bytes(t) * (size_t)first, row_bytes(t) * (size_t)rows);
}

size_t sk_tensor_columns_bytes(const struct sk_tensor *t, int64_t columns)
{
	return t->bytes / columns_bytes(t, t->dim[t->dims - 1]) * columns_bytes(t, columns);
}

void sk_weights_copy_columns(const struct sk_weights *w, const struct sk_tensor *t, int64_t first, int64_t columns, void *out)
{
	enum { DROP_BYTES = 4 << 20 };
	int64_t all = t->dim[t->dims - 1];
	uint32_t block = sk_quant_get(t->dtype)->block_len;
	size_t row = columns_bytes(t, all), part = columns_bytes(t, columns), skip = columns_bytes(t, first), dropped = 0;
	const unsigned char *from = t->data;
	unsigned char *to = out;

	(void)SK_BUG_IF(t->dtype == SK_DTYPES || first < 0 || columns <= 0 || first > all - columns || first % block ||
			columns % block);
	for (size_t at = 0; at < t->bytes; at += row, to += part) {
		memcpy(to, from + at + skip, part);
		if (at + row - dropped < DROP_BYTES && at + row < t->bytes)
			continue;
		drop(w, t, dropped, at + row - dropped);
		dropped = at + row;
	}
	drop(w, t, 0, t->bytes);        /* and the pages that two pieces shared */
}
