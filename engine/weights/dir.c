/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which files of a directory are the model.
 *
 *	config.json and weights                         a Hugging Face directory; .gguf files beside them are not looked at
 *	otherwise exactly one .gguf                     that one
 *
 * Weights, the first of these that is there (the order of TGI: .bin only where there is no .safetensors):
 *	model.safetensors.index.json                    exactly the files it names
 *	model.safetensors                               alone
 *	*.safetensors                                   all but those that are known to be something else
 *	pytorch_model.bin.index.json, pytorch_model.bin, *.bin          likewise
 */
#include "engine/weights/format.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "engine/base/log.h"

/* A name that promises weights, and what it is instead of a file; NULL: there is none such. */
struct odd { char name[SK_SHOWN]; const char *is; };

/* One kind of weights in a directory. */
struct kind {
	const struct sk_weights_format *format;
	const char *end, *single, *index;       /* names */
	bool has_single, has_index;
	const char **names;                     /* candidates, sorted */
	struct odd odd;
	size_t len, cap;
};

struct listing {
	struct kind kinds[2];
	bool config, tensorflow;
	int ggufs;
	char *gguf;                             /* the first one's path */
	char shown[2][SK_SHOWN];                /* names of two */
	struct odd odd;                         /* a .gguf */
};

/* Files with the right end that hold no weights of the model, by a part of their names. */
static const char *const others[] = {
	"training", "optimizer", "scheduler", "rng_state", "argument", "args", "adapter", "consolidated",
	"ggml", "openvino", "sentencepiece",
};

static bool ends_with(const char *name, const char *end)
{
	size_t n = strlen(name), e = strlen(end);

	return n > e && !strcasecmp(name + n - e, end);
}

static bool is_other(const char *name)
{
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (strstr(name, others[i]))
			return true;
	return false;
}

/* A link without an end is there too. */
static bool is_there(const char *path)
{
	struct stat sb;

	return lstat(path, &sb) == 0;
}

/* What a name leads to, where that is not a file; NULL: a file. */
static const char *no_file(const char *path)
{
	struct stat sb;

	if (stat(path, &sb) < 0)
		return errno == ELOOP ? "a link that leads round in a circle" : errno == ENOENT ? "a link to what is not there" :
		       strerror(errno);
	if (S_ISREG(sb.st_mode))
		return NULL;
	return S_ISDIR(sb.st_mode) ? "a directory" : S_ISFIFO(sb.st_mode) ? "a pipe" : "a device or socket";
}

/* config.json, the weights by their usual name and their index must be files; other names count where such are not there. */
static sk_status list_odd(struct listing *l, const char *dir, const char *name, const char *what, struct sk_err *err)
{
	struct odd *odd = ends_with(name, ".gguf") ? &l->odd : NULL;
	bool must = !strcmp(name, "config.json");

	for (int i = 0; i < 2; i++) {
		must = must || !strcmp(name, l->kinds[i].single) || !strcmp(name, l->kinds[i].index);
		if (ends_with(name, l->kinds[i].end) && !is_other(name))
			odd = &l->kinds[i].odd;
	}
	if (must)
		return sk_fail(err, SK_EFORMAT, "%s/%s: %s, not a file", dir, name, what);
	if (odd && !odd->is) {
		sk_weights_show(odd->name, name, strlen(name));
		odd->is = what;
	}
	return SK_OK;
}

static sk_status list_weights(struct sk_weights *w, struct kind *k, const char *name)
{
	char *copy;

	if (!strcmp(name, k->single))
		k->has_single = true;
	if (is_other(name))
		return SK_OK;
	copy = sk_arena_strndup(&w->names, name, strlen(name));
	if (!copy || sk_weights_grow((void **)&k->names, sizeof(*k->names), k->len, &k->cap) < 0)
		return SK_ENOMEM;
	k->names[k->len++] = copy;
	return SK_OK;
}

/* One name of the directory. Only what counts is asked for with stat(). */
static sk_status list_name(struct sk_weights *w, struct listing *l, const char *dir, const char *name, struct sk_err *err)
{
	bool gguf = ends_with(name, ".gguf");
	const char *what;
	char *path;

	if (name[0] == '.')
		return SK_OK;
	if (!gguf && strcmp(name, "config.json") != 0 && !ends_with(name, ".safetensors") && !ends_with(name, ".bin") &&
	    !ends_with(name, ".index.json") && !ends_with(name, ".h5") && !ends_with(name, ".msgpack"))
		return SK_OK;
	path = sk_weights_join(w, dir, name);
	if (!path)
		return sk_fail(err, SK_ENOMEM, "%s: out of memory", dir);
	what = no_file(path);
	if (what)
		return list_odd(l, dir, name, what, err);
	if (gguf) {
		if (l->ggufs < 2)
			sk_weights_show(l->shown[l->ggufs], name, strlen(name));
		if (!l->ggufs++)
			l->gguf = path;
		return SK_OK;
	}
	if (!strcmp(name, "config.json"))
		l->config = true;
	if (ends_with(name, ".h5") || ends_with(name, ".msgpack"))
		l->tensorflow = true;
	for (int i = 0; i < 2; i++) {
		struct kind *k = &l->kinds[i];

		if (!strcmp(name, k->index))
			k->has_index = true;
		else if (ends_with(name, k->end) && k->len >= SK_FILES_MAX)
			return sk_fail(err, SK_ETOOBIG, "%s: more than %d %s files", dir, SK_FILES_MAX, k->end);
		else if (ends_with(name, k->end) && list_weights(w, k, name) < 0)
			return sk_fail(err, SK_ENOMEM, "%s: out of memory", dir);
	}
	return SK_OK;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static sk_status list_dir(struct sk_weights *w, struct listing *l, const char *dir_path, struct sk_err *err)
{
	DIR *dir = opendir(dir_path);
	const struct dirent *entry;
	sk_status st = SK_OK;

	if (!dir)
		return sk_fail(err, SK_EIO, "%s: %s", dir_path, strerror(errno));
	while (st >= 0 && (entry = readdir(dir)) != NULL)
		st = list_name(w, l, dir_path, entry->d_name, err);
	closedir(dir);
	for (int i = 0; i < 2; i++)
		if (l->kinds[i].len)
			qsort(l->kinds[i].names, l->kinds[i].len, sizeof(*l->kinds[i].names), by_name);
	return st;
}

/* ---- which files ---------------------------------------------------------------------------------------------- */

static bool has_weights(const struct kind *k)
{
	return k->has_index || k->has_single || k->len || k->odd.is;
}

/* "model-00002-of-00003.safetensors": the number of files of such a set; 0: no such name. *ret_at: where the 00002 is. */
static long parts_of(const char *name, const char *end, size_t *ret_at)
{
	const char *of = strstr(name, "-of-");
	char *rest;
	long parts;

	if (!of || of - name < 6 || of[-6] != '-' || strspn(of - 5, "0123456789") != 5 || strspn(of + 4, "0123456789") != 5)
		return 0;
	parts = strtol(of + 4, &rest, 10);
	*ret_at = (size_t)(of - 5 - name);
	return !strcmp(rest, end) ? parts : 0;
}

/* Without an index, the names say how many files there must be. */
static sk_status check_parts(const struct kind *k, const char *dir, struct sk_err *err)
{
	for (size_t i = 0; i < k->len; i++) {
		size_t at = 0;
		long parts = parts_of(k->names[i], k->end, &at);
		char name[256], number[6];

		if (parts > SK_FILES_MAX)
			return sk_fail(err, SK_ETOOBIG, "%s: %s: a set of %ld files, the limit is %d", dir, k->names[i], parts,
				       SK_FILES_MAX);
		snprintf(name, sizeof(name), "%s", k->names[i]);
		for (long p = 1; p <= parts; p++) {
			const char *key = name;

			snprintf(number, sizeof(number), "%05d", (int)p);
			memcpy(name + at, number, 5);
			if (!bsearch(&key, k->names, k->len, sizeof(key), by_name))
				return sk_fail(err, SK_ENOENT, "%s: %s is missing (%s says there are %ld files)", dir, name,
					       k->names[i], parts);
		}
		if (parts)
			return SK_OK;           /* one set is enough; its files name each other */
	}
	return SK_OK;
}

/* The names of the files to read, sorted; the caller frees the list. */
static sk_status choose_files(struct sk_weights *w, struct kind *k, const char *dir, const char ***ret_names,
			      size_t *ret_len, struct sk_err *err)
{
	const char **names;

	if (k->has_index) {
		char *path = sk_weights_join(w, dir, k->index);

		if (!path)
			return sk_fail(err, SK_ENOMEM, "%s: out of memory", dir);
		return sk_weights_read_index(w, path, k->format, ret_names, ret_len, err);
	}
	if (!k->has_single && k->odd.is)
		return sk_fail(err, SK_EFORMAT, "%s/%s: %s, not a file", dir, k->odd.name, k->odd.is);
	if (!k->has_single) {
		sk_status st = check_parts(k, dir, err);

		if (st < 0)
			return st;
	}
	names = malloc((k->len + 1) * sizeof(*names));
	if (!names)
		return sk_fail(err, SK_ENOMEM, "%s: out of memory", dir);
	memcpy(names, k->names, k->len * sizeof(*names));
	*ret_len = k->len;
	if (k->has_single) {
		names[0] = k->single;
		*ret_len = 1;
	}
	*ret_names = names;
	return SK_OK;
}

/* ---- reading them --------------------------------------------------------------------------------------------- */

static sk_status read_file(struct sk_weights *w, const struct kind *k, const char *name, struct sk_err *err)
{
	struct sk_weights_file *f = &w->files[w->files_len];
	char *path = sk_weights_join(w, w->dir, name);
	sk_status st;

	if (!path)
		return sk_fail(err, SK_ENOMEM, "%s: out of memory", w->dir);
	if (k->has_index && !is_there(path))
		return sk_fail(err, SK_ENOENT, "%s: %s names %s, which is not there", w->dir, k->index, name);
	if (no_file(path))
		return sk_fail(err, SK_EFORMAT, "%s: %s, not a file", path, no_file(path));
	st = sk_weights_map(f, path, err);
	if (st < 0)
		return st;
	w->files_len++;
	if (f->map.len < 8)
		return sk_fail(err, SK_EFORMAT, "%s: %zu bytes are too few for a file of weights", path, f->map.len);
	return k->format->read(w, f, err);
}

static sk_status read_files(struct sk_weights *w, const struct kind *k, const char *const *names, size_t len, struct sk_err *err)
{
	const char *index = sk_weights_join(w, w->dir, k->index);
	sk_status st = SK_OK;

	w->format = k->format;
	w->files = calloc(len, sizeof(*w->files));
	if (!w->files || !index)
		return sk_fail(err, SK_ENOMEM, "%s: out of memory for %zu files", w->dir, len);
	for (size_t i = 0; i < len && st >= 0; i++)
		st = read_file(w, k, names[i], err);
	if (st >= 0 && k->has_index)
		st = sk_weights_check_index(w, index, err);
	if (st >= 0 && !w->tensors_len)
		st = sk_fail(err, SK_EFORMAT, "%s: the %s files hold no tensors", w->dir, k->end);
	return st;
}

/* The caller named a file of the directory: it must be one of those that are read. */
static sk_status check_named(const char *dir, const struct kind *k, const char *file, const char *const *names, size_t len,
			     struct sk_err *err)
{
	char shown[SK_SHOWN], first[SK_SHOWN];

	for (size_t i = 0; i < len; i++)
		if (!strcmp(names[i], file))
			return SK_OK;
	sk_weights_show(shown, file, strlen(file));
	sk_weights_show(first, names[0], strlen(names[0]));
	return sk_fail(err, SK_EINVAL, "%s: %s was named, but the weights of this directory are %s%s%s%s", dir, shown, first,
		       len > 1 ? " and others" : "", k->has_index ? ", says " : "", k->has_index ? k->index : "");
}

static sk_status read_hf(struct sk_weights *w, struct kind *k, const char *file, struct sk_err *err)
{
	const char **names = NULL, *config = sk_weights_join(w, w->dir, "config.json"),
		*generation = sk_weights_join(w, w->dir, "generation_config.json");
	size_t len = 0;
	sk_status st;

	if (!config || !generation)
		return sk_fail(err, SK_ENOMEM, "%s: out of memory", w->dir);
	st = sk_weights_read_config(w, config, NULL, err);
	if (st >= 0 && is_there(generation))
		st = sk_weights_read_config(w, generation, "generation_config", err);
	if (st >= 0)
		st = choose_files(w, k, w->dir, &names, &len, err);
	if (st >= 0 && file)
		st = check_named(w->dir, k, file, names, len, err);
	if (st >= 0)
		st = read_files(w, k, names, len, err);
	free(names);
	return st;
}

static sk_status read_gguf(struct sk_weights *w, char *path, struct sk_err *err)
{
	sk_status st;

	w->path = path;
	w->format = &sk_format_gguf;
	w->files = calloc(1, sizeof(*w->files));
	if (!w->files)
		return sk_fail(err, SK_ENOMEM, "%s: out of memory", path);
	st = sk_weights_map(&w->files[0], path, err);
	if (st < 0)
		return st;
	w->files_len = 1;
	if (w->files[0].map.len < 8)
		return sk_fail(err, SK_EFORMAT, "%s: %zu bytes are too few for a model file", path, w->files[0].map.len);
	if (!sk_format_gguf.probe(w->files[0].map.data, w->files[0].map.len))
		return sk_fail(err, SK_EFORMAT, "%s: not a GGUF file", path);
	return sk_format_gguf.read(w, &w->files[0], err);
}

/* No model is in the directory: say what is. */
static sk_status refuse_dir(const struct listing *l, const char *dir, const struct sk_weights_format *kind, struct sk_err *err)
{
	const struct kind *st = &l->kinds[0], *bin = &l->kinds[1];

	if (l->odd.is && !l->ggufs && !kind)
		return sk_fail(err, SK_EFORMAT, "%s/%s: %s, not a file", dir, l->odd.name, l->odd.is);
	if (l->ggufs > 1)
		return sk_fail(err, SK_EINVAL, "%s: %d .gguf files in this directory (%s, %s%s), name one of them", dir, l->ggufs,
			       l->shown[0], l->shown[1], l->ggufs > 2 ? ", ..." : "");
	if (l->config && kind)
		return sk_fail(err, SK_ENOENT, "%s: no %s file in this directory holds weights of a model", dir,
			       kind == st->format ? st->end : bin->end);
	if (l->config)
		return sk_fail(err, SK_ENOENT, "%s: config.json is there, but no weights: no *.safetensors, no *.bin, no .gguf file%s",
			       dir, l->tensorflow ? " (TensorFlow and Flax files are not read)" : "");
	if (has_weights(st) || has_weights(bin))
		return sk_fail(err, SK_ENOENT, "%s: weights are there, but no config.json, which says what they mean", dir);
	return sk_fail(err, SK_ENOENT, "%s: no .gguf file in this directory, and no config.json with *.safetensors or *.bin", dir);
}

sk_status sk_weights_read_dir(struct sk_weights *w, const char *dir, const struct sk_weights_format *kind, const char *file,
			      struct sk_err *err)
{
	struct listing l = { .kinds = {
		{ .format = &sk_format_safetensors, .end = ".safetensors", .single = "model.safetensors",
		  .index = "model.safetensors.index.json" },
		{ .format = &sk_format_torch, .end = ".bin", .single = "pytorch_model.bin",
		  .index = "pytorch_model.bin.index.json" },
	} };
	struct kind *k = NULL;
	sk_status st = list_dir(w, &l, dir, err);

	for (int i = 0; i < 2 && !k; i++)
		if (has_weights(&l.kinds[i]) && (!kind || kind == l.kinds[i].format))
			k = &l.kinds[i];
	if (st < 0) {
		/* said already */
	} else if (l.config && k) {
		w->form = SK_FORM_HF;
		w->dir = w->path = sk_arena_strndup(&w->names, dir, strlen(dir));
		if (l.ggufs)
			sk_log(SK_LOG_INFO, "%s: the %s files are taken; to take %s instead, name it", dir, k->end, l.shown[0]);
		st = w->dir ? read_hf(w, k, file, err) : sk_fail(err, SK_ENOMEM, "%s: out of memory", dir);
	} else if (l.ggufs == 1 && !kind) {
		st = read_gguf(w, l.gguf, err);
	} else {
		st = refuse_dir(&l, dir, kind, err);
	}
	free(l.kinds[0].names);
	free(l.kinds[1].names);
	return st;
}
