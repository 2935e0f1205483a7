/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening a checkpoint: finds the file, asks each format of formats.def whether it is its own, and looks things up by
 * name. What the bytes mean is the format's business.
 */
#include "engine/weights/format.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define SK_WEIGHTS_FORMAT(symbol) extern const struct sk_weights_format symbol;
#include "engine/weights/formats.def"
#undef SK_WEIGHTS_FORMAT

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

/* ---- finding the file ----------------------------------------------------------------------------------------- */

static bool is_model_name(const char *name)
{
	size_t len = strlen(name);

	return len > 5 && !strcasecmp(name + len - 5, ".gguf") && name[0] != '.';
}

static char *join(struct sk_arena *a, const char *dir, const char *name)
{
	size_t d = strlen(dir), n = strlen(name);
	char *path = sk_arena_take(a, d + n + 2);

	if (!path)
		return NULL;
	memcpy(path, dir, d);
	if (d == 0 || dir[d - 1] != '/')
		path[d++] = '/';
	memcpy(path + d, name, n);
	return path;
}

/* The one .gguf file of a directory. */
static sk_status find_in_directory(struct sk_weights *w, const char *dir_path, struct sk_err *err)
{
	DIR *dir = opendir(dir_path);
	const struct dirent *entry;
	char first[SK_SHOWN], second[SK_SHOWN];
	char *found = NULL;
	int count = 0;
	sk_status st = SK_OK;

	if (!dir)
		return sk_fail(err, SK_EIO, "%s: %s", dir_path, strerror(errno));
	while ((entry = readdir(dir)) != NULL) {
		struct stat sb;
		char *path;

		if (!is_model_name(entry->d_name))
			continue;
		path = join(&w->names, dir_path, entry->d_name);
		if (!path) {
			st = sk_fail(err, SK_ENOMEM, "%s: out of memory", dir_path);
			goto out;
		}
		if (stat(path, &sb) != 0 || !S_ISREG(sb.st_mode))
			continue;
		sk_weights_show(count ? second : first, entry->d_name, strlen(entry->d_name));
		if (!count++)
			found = path;
	}
	if (count == 0)
		st = sk_fail(err, SK_ENOENT, "%s: no .gguf file in this directory", dir_path);
	else if (count > 1)
		st = sk_fail(err, SK_EINVAL, "%s: %d .gguf files in this directory (%s, %s%s), name one of them", dir_path,
			     count, first, second, count > 2 ? ", ..." : "");
	else
		w->path = found;
out:
	closedir(dir);
	return st;
}

static sk_status find_file(struct sk_weights *w, const char *path, struct sk_err *err)
{
	struct stat sb;

	if (stat(path, &sb) != 0)
		return sk_fail(err, errno == ENOENT || errno == ENOTDIR ? SK_ENOENT : SK_EIO, "%s: %s", path,
			       strerror(errno));
	if (S_ISDIR(sb.st_mode))
		return find_in_directory(w, path, err);
	if (!S_ISREG(sb.st_mode))
		return sk_fail(err, SK_EFORMAT, "%s: not a regular file", path);
	w->path = sk_arena_strndup(&w->names, path, strlen(path));
	return w->path ? SK_OK : sk_fail(err, SK_ENOMEM, "%s: out of memory", path);
}

/* ---- open and close ------------------------------------------------------------------------------------------- */

static sk_status read_file(struct sk_weights *w, struct sk_err *err)
{
	if (w->map.len < 8)
		return sk_fail(err, SK_EFORMAT, "%s: %zu bytes are too few for a model file", w->path, w->map.len);
	for (int i = 0; i < FORMATS; i++)
		if (formats[i]->probe(w->map.data, w->map.len)) {
			w->format = formats[i];
			return w->format->read(w, err);
		}
	return sk_fail(err, SK_EFORMAT, "%s: not a GGUF file: it begins with 0x%02x%02x%02x%02x, not with \"GGUF\"",
		       w->path, w->map.data[0], w->map.data[1], w->map.data[2], w->map.data[3]);
}

sk_status sk_weights_open(const char *path, struct sk_weights **ret_w, struct sk_err *err)
{
	struct sk_weights *w = calloc(1, sizeof(*w));
	sk_status st;

	if (!w)
		return sk_fail(err, SK_ENOMEM, "%s: out of memory", path);
	w->map.fd = -1;
	sk_arena_init(&w->names, 0);
	st = find_file(w, path, err);
	if (st >= 0)
		st = sk_map_open(&w->map, w->path, err);
	if (st >= 0)
		st = read_file(w, err);
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
	free(x->tensors);
	free(x->metas);
	sk_arena_fini(&x->names);
	sk_map_fini(&x->map);
	free(x);
}

/* ---- looking up ----------------------------------------------------------------------------------------------- */

const char *sk_weights_format(const struct sk_weights *w) { return w->format->name; }
const char *sk_weights_path(const struct sk_weights *w) { return w->path; }
uint64_t sk_weights_file_bytes(const struct sk_weights *w) { return w->map.len; }
size_t sk_weights_len(const struct sk_weights *w) { return w->tensors_len; }
const struct sk_tensor *sk_weights_at(const struct sk_weights *w, size_t i) { return &w->tensors[i]; }

const struct sk_tensor *sk_weights_find(const struct sk_weights *w, const char *name)
{
	int32_t i = sk_table_find(&w->tensor_index, name, strlen(name), -1);

	return i < 0 ? NULL : &w->tensors[i];
}

void sk_weights_drop(const struct sk_weights *w, const struct sk_tensor *t)
{
	sk_map_drop(&w->map, (size_t)((const unsigned char *)t->data - w->map.data), t->bytes);
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
