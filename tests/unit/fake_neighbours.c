/* What is beside the fake jobs: workloads, crews, the store's figures. */
#include "unit.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "concd/plugin.h"
#include "config.h"
#include "crew/crew.h"
#include "crew/workload.h"
#include "jobs/jobs.h"
#include "store/store.h"

static struct plugin_param params[] = {
	{ .name = (char *)"dir", .value = (char *)"", .min = (char *)"", .max = (char *)"", .choices = (char *)"",
	  .help = (char *)"where" },
	{ .name = (char *)"token", .flags = CONCD_PARAM_SECRET, .value = (char *)"", .min = (char *)"",
	  .max = (char *)"", .choices = (char *)"", .help = (char *)"who" },
};
static struct config_pair stanza_params[] = { { (char *)"dir", (char *)"/tmp" }, { (char *)"token", (char *)"s3cret" } };
static const struct plugin_info info = { .name = (char *)"squares", .version = (char *)"1.0",
					 .summary = (char *)"sums", .kind = CONCD_KIND_CPU, .params = params,
					 .n_params = 2 };
static const struct workload_config stanza = { .name = (char *)"squares", .model = (char *)"pool",
					       .params = stanza_params, .n_params = 2 };
static const struct workload fakes[] = {
	{ .name = "squares", .plugin_path = (char *)"/lib/squares.so", .info = &info, .config = &stanza,
	  .thread_safe = true },
	{ .name = "wrong", .plugin_path = (char *)"/lib/wrong.so", .why_not = "its ABI is 9", .config = &stanza },
};

size_t workloads_count(const struct workloads *workloads)
{
	(void)workloads;
	return ARRAY_SIZE(fakes);
}

const struct workload *workloads_at(const struct workloads *workloads, size_t i)
{
	(void)workloads;
	return &fakes[i];
}

int workloads_find(const struct workloads *workloads, const char *name, const struct workload **ret_workload,
		   struct error *err)
{
	(void)workloads;
	if (strcmp(name, "squares") == 0) {
		*ret_workload = &fakes[0];
		return 0;
	}
	if (strcmp(name, "wrong") == 0)
		return error_set(err, -ENOEXEC, "workload-unusable", "its ABI is 9");
	return error_set(err, -ENOENT, "no-such-workload", "there is no workload '%s'", name);
}

int crews_walk(const struct crews *crews, int (*fn)(void *arg, const struct crew_view *view), void *arg)
{
	const struct crew_view view = { .workload = "squares", .shape = { 1, 2, 1 }, .processes = 1, .stack_note = "" };

	(void)crews;
	return fn(arg, &view);
}

void store_stats(const struct store *store, struct store_stats *ret_stats)
{
	(void)store;
	*ret_stats = (struct store_stats){ .commits = 5, .bytes = 4096 };
}

const char *store_damaged(const struct store *store)
{
	(void)store;
	return NULL;
}

bool store_stalled(const struct store *store, const char **ret_why)
{
	(void)store;
	*ret_why = "";
	return false;
}

void job_put_out(struct job *job)
{
	(void)job;
}
