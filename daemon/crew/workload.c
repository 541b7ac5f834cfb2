/* The workloads: stanzas and plugin files joined.
 *
 *	stanzas ──┐                 ┌─ cache (store) ─┐
 *	          ├─> plugin files ─┤                 ├─> info ──> workloads, sorted by name
 *	*.so    ──┘                 └─ --describe ────┘
 */
#include "crew/workload.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <concd/plugin.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "config.h"
#include "crew/describe.h"
#include "store/store.h"

/* A plugin file, once, however many stanzas name it. */
struct plugin {
	char *path;
	char *key; /* of the cache; NULL: the file cannot be looked at */
	struct plugin_info *info; /* NULL: see why_not */
	char why_not[512];
};

/* A workload with what it owns. */
struct entry {
	struct workload workload;
	struct workload_config defaults; /* where there is no stanza; name and plugin are the plugin's */
	char *own_name, *own_plugin, *own_why_not;
};

struct workloads {
	struct plugin *plugins;
	size_t n_plugins;
	struct entry **entries; /* sorted by name; pointers, so that a workload never moves */
	size_t n_entries;
};

static int plugin_key(const char *path, char **ret_key, char *ret_why, size_t why_bytes)
{
	struct stat st;

	if (stat(path, &st) < 0) {
		int r = -errno;

		(void)snprintf(ret_why, why_bytes, "plugin '%s' cannot be read: %s%s", path, strerror(-r),
			       r == -ENOENT ? ": install it there, or correct 'plugin'" : "");
		return r;
	}
	if (!S_ISREG(st.st_mode)) {
		(void)snprintf(ret_why, why_bytes, "plugin '%s' is not a file", path);
		return -EINVAL;
	}
	if (asprintf(ret_key, "%s|%llu|%llu|%lld|%lld.%09ld|%u", path, (unsigned long long)st.st_dev,
		     (unsigned long long)st.st_ino, (long long)st.st_size, (long long)st.st_mtim.tv_sec,
		     st.st_mtim.tv_nsec, CONCD_ABI) < 0)
		return -ENOMEM;
	return 0;
}

/* The plugin with this path, added if it is new. Its index or -ENOMEM. */
static ssize_t plugin_add(struct workloads *w, const char *path)
{
	struct plugin *more, *p;

	for (size_t i = 0; i < w->n_plugins; i++) {
		if (strcmp(w->plugins[i].path, path) == 0)
			return (ssize_t)i;
	}
	more = reallocarray(w->plugins, w->n_plugins + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	w->plugins = more;
	p = &more[w->n_plugins];
	*p = (struct plugin){ .path = strdup(path) };
	if (!p->path)
		return -ENOMEM;
	w->n_plugins++;
	if (plugin_key(path, &p->key, p->why_not, sizeof(p->why_not)) == -ENOMEM)
		return -ENOMEM;
	return (ssize_t)w->n_plugins - 1;
}

/* ---- Which files ---- */

/* libtool leaves modules of a build tree in .libs, below the directory that names them. */
static const char *const plugin_places[] = { "", "/.libs" };

/* The file of a stanza's plugin: an absolute path, or NAME.so in plugin_dir. */
static int plugin_path(const struct config *config, const char *name, char **ret_path)
{
	_cleanup_free_ char *first = NULL;

	if (name[0] == '/') {
		*ret_path = strdup(name);
		return *ret_path ? 0 : -ENOMEM;
	}
	for (size_t i = 0; i < ARRAY_SIZE(plugin_places); i++) {
		_cleanup_free_ char *path = NULL;

		if (asprintf(&path, "%s%s/%s.so", config->plugin_dir, plugin_places[i], name) < 0) {
			path = NULL; /* asprintf leaves it undefined */
			return -ENOMEM;
		}
		if (access(path, F_OK) == 0) {
			*ret_path = take_ptr(path);
			return 0;
		}
		if (i == 0)
			first = take_ptr(path);
	}
	*ret_path = take_ptr(first); /* is missing: describing it says so */
	return 0;
}

static int is_module(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);

	return entry->d_name[0] != '.' && len > 3 && strcmp(entry->d_name + len - 3, ".so") == 0;
}

static int scan_place(struct workloads *w, const char *dir)
{
	struct dirent **list;
	int n = scandir(dir, &list, is_module, alphasort), r = 0;

	if (n < 0)
		return errno == ENOMEM ? -ENOMEM : 0; /* a directory that is not there has no plugins */
	for (int i = 0; i < n; i++) {
		_cleanup_free_ char *path = NULL;

		if (r == 0 && asprintf(&path, "%s/%s", dir, list[i]->d_name) < 0) {
			path = NULL; /* asprintf leaves it undefined */
			r = -ENOMEM;
		}
		if (r == 0 && plugin_add(w, path) < 0)
			r = -ENOMEM;
		free(list[i]);
	}
	free(list);
	return r;
}

static int scan_dir(struct workloads *w, const struct config *config)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(plugin_places) && r == 0; i++) {
		_cleanup_free_ char *dir = NULL;

		if (asprintf(&dir, "%s%s", config->plugin_dir, plugin_places[i]) < 0) {
			dir = NULL; /* asprintf leaves it undefined */
			return -ENOMEM;
		}
		r = scan_place(w, dir);
	}
	return r;
}

/* ---- Their descriptions ---- */

struct put {
	struct store_op op;
	char *key, *description;
};

static void put_free(struct put *put)
{
	if (!put)
		return;
	free(put->key);
	free(put->description);
	free(put);
}

static void on_put(struct store_op *op, int status)
{
	if (status < 0)
		log_debug("workload: a plugin's description was not cached: %s", strerror(-status));
	put_free(container_of(op, struct put, op));
}

/* A cache only: without memory it stays as it is. */
static void cache_put(struct store *store, const char *key, const struct buffer *description)
{
	struct put *put = calloc(1, sizeof(*put));

	if (!put)
		return;
	put->key = strdup(key);
	put->description = strndup((const char *)description->data, description->len);
	if (!put->key || !put->description) {
		put_free(put);
		return;
	}
	put->op = (struct store_op){ .type = STORE_PLUGIN_PUT, .may_fail = true, .on_done = on_put };
	put->op.u.plugin.key = put->key;
	put->op.u.plugin.description = put->description;
	store_submit(store, &put->op);
}

static bool cache_find(struct store *store, struct plugin *p)
{
	_cleanup_buffer_ struct buffer text = BUFFER_INIT;

	if (!store || store_plugin_find(store, p->key, &text) < 0)
		return false;
	return plugin_info_parse((const char *)text.data, text.len, &p->info, NULL) ==
	       0; /* else it is described anew */
}

static void use_description(struct store *store, struct plugin *p, struct describe *d)
{
	struct error err = ERROR_INIT;

	if (d->why_not[0]) {
		bool named = strncmp(d->why_not, "plugin '", strlen("plugin '")) == 0;

		(void)snprintf(p->why_not, sizeof(p->why_not), "%s%.240s%s%s", named ? "" : "plugin '",
			       named ? "" : p->path, named ? "" : "': ", d->why_not); /* the path where it did not say it */
		return;
	}
	if (plugin_info_parse((const char *)d->out.data, d->out.len, &p->info, &err) < 0) {
		(void)snprintf(p->why_not, sizeof(p->why_not), "%.250s", err.code ? err.text : "out of memory");
		return;
	}
	if (store)
		cache_put(store, p->key, &d->out);
}

static int describe_new(struct workloads *w, const struct config *config, struct store *store)
{
	_cleanup_free_ struct describe *list = calloc(w->n_plugins + 1, sizeof(*list));
	_cleanup_free_ struct plugin **who = calloc(w->n_plugins + 1, sizeof(struct plugin *));
	long online = sysconf(_SC_NPROCESSORS_ONLN);
	size_t n = 0;
	int r;

	if (!list || !who)
		return -ENOMEM;
	for (size_t i = 0; i < w->n_plugins; i++) {
		if (!w->plugins[i].key || cache_find(store, &w->plugins[i]))
			continue;
		who[n] = &w->plugins[i];
		list[n++].path = w->plugins[i].path;
	}
	r = describe_all(config->worker_path, list, n, online > 0 ? (uint32_t)online : 1, DESCRIBE_TIMEOUT_MS);
	for (size_t i = 0; i < n; i++) {
		use_description(store, who[i], &list[i]);
		buffer_fini(&list[i].out);
	}
	return r;
}

/* ---- The workloads ---- */

static void entry_free(struct entry *e)
{
	if (!e)
		return;
	free(e->own_name);
	free(e->own_plugin);
	free(e->own_why_not);
	free(e->workload.plugin_path);
	free(e);
}

static struct entry *find_entry(const struct workloads *w, const char *name)
{
	for (size_t i = 0; i < w->n_entries; i++) {
		if (strcmp(w->entries[i]->workload.name, name) == 0)
			return w->entries[i];
	}
	return NULL;
}

static const char *param_name_at(const void *names, size_t i)
{
	return ((const struct plugin_param *)names)[i].name;
}

/* The stanza's parameters are those of its plugin, and have its types. */
static int check_stanza(const struct plugin_info *info, const struct workload_config *config, struct error *err)
{
	for (size_t i = 0; i < config->n_params; i++) {
		const char *name = config->params[i].name;
		const struct plugin_param *param = plugin_info_find_param(info, name);
		const char *near;

		if (!param) {
			near = text_nearest(name, info->params, info->n_params, param_name_at);
			return error_set(err, -EINVAL, "bad-parameter",
					 "%s%splugin '%s' has no parameter '%.64s'%s%s%s",
					 config->where ? config->where : "", config->where ? ": " : "", info->name,
					 name, near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
		}
		if (plugin_param_check(param, config->params[i].value, err) < 0) {
			if (config->where)
				error_prefix(err, "%s", config->where);
			return -EINVAL;
		}
	}
	return 0;
}

static int refuse(struct entry *e, const char *why)
{
	e->workload.info = NULL;
	e->own_why_not = strdup(why);
	if (!e->own_why_not)
		return -ENOMEM;
	e->workload.why_not = e->own_why_not;
	log_warning("workload: '%s' cannot be used: %s", e->workload.name, why);
	return 0;
}

/* Join a plugin and a stanza; config NULL: the defaults under the plugin's own name. */
static int entry_add(struct workloads *w, const struct config *config, const struct plugin *p,
		     const struct workload_config *stanza, char *own_name)
{
	struct entry *e = calloc(1, sizeof(*e));
	struct entry **more = reallocarray(w->entries, w->n_entries + 1, sizeof(struct entry *));
	struct error err = ERROR_INIT;
	struct workload *wl;
	int r = 0;

	if (more)
		w->entries = more;
	if (!e || !more) {
		free(own_name);
		free(e);
		return -ENOMEM;
	}
	wl = &e->workload;
	w->entries[w->n_entries++] = e; /* from here workloads_close() frees it */
	e->own_name = own_name;
	wl->name = stanza ? stanza->name : own_name;
	if (!stanza) {
		e->defaults = config->defaults; /* texts stay the configuration's, which lives longer */
		e->own_plugin = strdup(p->path);
		e->defaults.name = own_name;
		e->defaults.plugin = e->own_plugin;
		stanza = &e->defaults;
	}
	wl->config = stanza;
	wl->plugin_path = strdup(p->path);
	if (!wl->plugin_path || (stanza == &e->defaults && !e->own_plugin))
		return -ENOMEM;
	wl->info = p->info;
	if (!p->info) {
		(void)error_set(&err, -ENOEXEC, "workload-unusable", "%s%s%s", stanza->where ? stanza->where : "",
				stanza->where ? ": " : "", p->why_not);
		return refuse(e, err.text);
	}
	wl->thread_safe = (p->info->flags & CONCD_THREAD_SAFE) && stanza->thread_safe;
	wl->idempotent = (p->info->flags & CONCD_IDEMPOTENT) && stanza->idempotent;
	wl->deterministic = (p->info->flags & CONCD_DETERMINISTIC) && stanza->deterministic;
	if (check_stanza(p->info, stanza, &err) < 0)
		r = refuse(e, err.text);
	return r;
}

/* The name of a plugin that has no stanza: its own, or its file's where it could not say one. */
static char *bare_name(const struct plugin *p)
{
	const char *base = strrchr(p->path, '/');

	if (p->info)
		return strdup(p->info->name);
	base = base ? base + 1 : p->path;
	return strndup(base, strlen(base) - (strlen(base) > 3 ? 3 : 0));
}

static int by_name(const void *a, const void *b)
{
	return strcmp((*(struct entry *const *)a)->workload.name, (*(struct entry *const *)b)->workload.name);
}

static int join(struct workloads *w, const struct config *config, const size_t *stanza_plugin)
{
	int r;

	for (size_t i = 0; i < config->n_workloads; i++) {
		r = entry_add(w, config, &w->plugins[stanza_plugin[i]], &config->workloads[i], NULL);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < w->n_plugins; i++) {
		_cleanup_free_ char *name = NULL;
		bool named = !w->plugins[i].key; /* a file that is not there makes no workload of its own */

		for (size_t s = 0; s < config->n_workloads && !named; s++)
			named = stanza_plugin[s] == i && config->workloads[s].plugin[0] == '/';
		if (named)
			continue; /* a file from elsewhere: only its stanza makes it a workload */
		name = bare_name(&w->plugins[i]);
		if (!name)
			return -ENOMEM;
		if (find_entry(w, name)) {
			log_debug("workload: '%s' of %s is another workload's name already", name, w->plugins[i].path);
			continue;
		}
		r = entry_add(w, config, &w->plugins[i], NULL, take_ptr(name));
		if (r < 0)
			return r;
	}
	if (w->n_entries > 0)
		qsort(w->entries, w->n_entries, sizeof(struct entry *), by_name);
	return 0;
}

static int name_stanzas(struct workloads *w, const struct config *config, size_t *ret_stanza_plugin)
{
	for (size_t i = 0; i < config->n_workloads; i++) {
		_cleanup_free_ char *path = NULL;
		ssize_t at;
		int r = plugin_path(config, config->workloads[i].plugin, &path);

		if (r < 0)
			return r;
		at = plugin_add(w, path);
		if (at < 0)
			return (int)at;
		ret_stanza_plugin[i] = (size_t)at;
	}
	return 0;
}

int workloads_open(const struct config *config, struct store *store, struct workloads **ret_workloads,
		   struct error *err)
{
	_cleanup_free_ size_t *stanza_plugin = calloc(config->n_workloads + 1, sizeof(size_t));
	struct workloads *w = calloc(1, sizeof(*w));
	int r = -ENOMEM;

	if (!stanza_plugin || !w)
		goto fail;
	r = name_stanzas(w, config, stanza_plugin);
	if (r < 0)
		goto fail;
	r = scan_dir(w, config);
	if (r < 0)
		goto fail;
	r = describe_new(w, config, store);
	if (r < 0)
		goto fail;
	r = join(w, config, stanza_plugin);
	if (r < 0)
		goto fail;
	*ret_workloads = w;
	return 0;
fail:
	workloads_close(w);
	if (r == -ENOMEM)
		return error_set(err, r, "internal", "out of memory while the plugins are described");
	return error_set(err, r, "internal", "%s could not be run to describe the plugins: %s", config->worker_path,
			 strerror(-r));
}

void workloads_close(struct workloads *w)
{
	if (!w)
		return;
	for (size_t i = 0; i < w->n_entries; i++)
		entry_free(w->entries[i]);
	free(w->entries);
	for (size_t i = 0; i < w->n_plugins; i++) {
		free(w->plugins[i].path);
		free(w->plugins[i].key);
		plugin_info_free(w->plugins[i].info);
	}
	free(w->plugins);
	free(w);
}

size_t workloads_count(const struct workloads *workloads)
{
	return workloads->n_entries;
}

const struct workload *workloads_at(const struct workloads *workloads, size_t i)
{
	return &workloads->entries[i]->workload;
}

static const char *workload_name_at(const void *names, size_t i)
{
	return workloads_at(names, i)->name;
}

int workloads_find(const struct workloads *workloads, const char *name, const struct workload **ret_workload,
		   struct error *err)
{
	const struct entry *e = find_entry(workloads, name);
	const char *near;

	if (!e) {
		near = text_nearest(name, workloads, workloads->n_entries, workload_name_at);
		return error_set(err, -ENOENT, "no-such-workload", "no workload '%.64s'; %s%s%s", name,
				 near ? "did you mean '" : "`concctl workloads` lists them", near ? near : "",
				 near ? "'?" : "");
	}
	if (!e->workload.info)
		return error_set(err, -ENOEXEC, "workload-unusable", "workload '%s' cannot be used: %s", name,
				 e->workload.why_not);
	*ret_workload = &e->workload;
	return 0;
}
