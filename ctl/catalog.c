/* Commands about what the daemon has: workloads, models, params. */
#include "ctl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "protocol.h"
#include "table.h"
#include "talk.h"

/* A JSON value as a cell: texts as they are, numbers as numbers, null as nothing. */
static void add_value(struct table *table, const json_t *value)
{
	_cleanup_free_ char *text = NULL;

	if (json_is_string(value)) {
		table_add(table, json_string_value(value));
	} else if (json_is_null(value) || !value) {
		table_add(table, "");
	} else {
		text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(9));
		table_add(table, text ? text : "");
	}
}

static int print_workloads(const json_t *workloads, bool color)
{
	static const struct table_column columns[] = {
		{ "WORKLOAD", false }, { "KIND", false }, { "MODEL", false }, { "THREADS", false },
		{ "SUMMARY", false }, { NULL, false },
	};
	_cleanup_table_ struct table table;
	const json_t *workload;
	size_t i;

	table_init(&table, columns);
	json_array_foreach(workloads, i, workload) {
		bool usable = member_true(workload, "usable");

		table_add(&table, member_text(workload, "name", ""));
		table_add(&table, usable ? member_text(workload, "kind", "") : "-");
		table_add(&table, member_text(workload, "model", ""));
		table_add(&table, !usable ? "-" : member_true(workload, "thread_safe") ? "yes" : "no");
		table_printf(&table, "%s%s", usable ? "" : "cannot be used: ",
			     member_text(workload, usable ? "summary" : "why_not", ""));
	}
	return table_print(&table, stdout, color);
}

int command_workloads(struct ctl *ctl, struct error *err)
{
	_cleanup_document_ struct document doc = DOCUMENT_INIT;
	int r = talk_get(ctl, "/v1/workloads", &doc, err);

	if (r < 0)
		return r;
	if (ctl->json)
		return document_print(&doc, err);
	return print_workloads(json_object_get(doc.json, "workloads"), ctl->color);
}

static int print_models(const json_t *models, bool color)
{
	static const struct table_column columns[] = {
		{ "MODEL", false }, { "SHAPE", false }, { "WORKERS", true }, { "LIVES", false }, { "SUMMARY", false },
		{ NULL, false },
	};
	_cleanup_table_ struct table table;
	const json_t *model;
	size_t i;

	table_init(&table, columns);
	json_array_foreach(models, i, model) {
		table_add(&table, member_text(model, "name", ""));
		table_add(&table, member_text(model, "shape", ""));
		add_value(&table, json_object_get(model, "default_workers"));
		table_add(&table, member_text(model, "lives", ""));
		table_add(&table, member_text(model, "summary", ""));
	}
	return table_print(&table, stdout, color);
}

int command_models(struct ctl *ctl, struct error *err)
{
	_cleanup_document_ struct document doc = DOCUMENT_INIT;
	int r = talk_get(ctl, "/v1/models", &doc, err);

	if (r < 0)
		return r;
	if (ctl->json)
		return document_print(&doc, err);
	return print_models(json_object_get(doc.json, "models"), ctl->color);
}

/* "1..100", "a|b|c" or nothing. */
static void add_range(struct table *table, const json_t *param)
{
	const json_t *choices = json_object_get(param, "choices"), *choice;
	const json_t *min = json_object_get(param, "min"), *max = json_object_get(param, "max");
	_cleanup_buffer_ struct buffer text = BUFFER_INIT;
	size_t i;

	if (json_is_array(choices) && json_array_size(choices) > 0) {
		json_array_foreach(choices, i, choice)
			if (buffer_printf(&text, "%s%s", i ? "|" : "", json_string_value(choice)) < 0)
				table->failed = true;
	} else if (json_is_string(choices) && *json_string_value(choices)) {
		table_add(table, json_string_value(choices));
		return;
	} else if (json_is_string(min) || json_is_string(max)) {
		const char *low = member_text(param, "min", ""), *high = member_text(param, "max", "");

		if ((*low || *high) && buffer_printf(&text, "%s..%s", low, high) < 0)
			table->failed = true;
	} else if (json_is_number(min) || json_is_number(max)) {
		if ((json_is_number(min) && buffer_printf(&text, "%.9g", json_number_value(min)) < 0) ||
		    buffer_add(&text, "..", 2) < 0 ||
		    (json_is_number(max) && buffer_printf(&text, "%.9g", json_number_value(max)) < 0))
			table->failed = true;
	}
	if (buffer_add(&text, "", 1) < 0)
		table->failed = true;
	else
		table_add(table, (const char *)text.data);
}

static int print_params(const json_t *params, bool color)
{
	static const struct table_column columns[] = {
		{ "PARAMETER", false }, { "TYPE", false }, { "VALUE", false }, { "DEFAULT", false }, { "RANGE", false },
		{ "MEANING", false }, { NULL, false },
	};
	_cleanup_table_ struct table table;
	const json_t *param;
	size_t i;

	table_init(&table, columns);
	json_array_foreach(params, i, param) {
		bool secret = member_true(param, "secret");

		table_add(&table, member_text(param, "name", ""));
		table_printf(&table, "%s%s", member_text(param, "type", ""), secret ? " (secret)" : "");
		add_value(&table, json_object_get(param, "value"));
		add_value(&table, json_object_get(param, "default"));
		add_range(&table, param);
		table_add(&table, member_text(param, "help", ""));
	}
	return table_print(&table, stdout, color);
}

int command_params(struct ctl *ctl, struct error *err)
{
	_cleanup_document_ struct document doc = DOCUMENT_INIT;
	_cleanup_buffer_ struct buffer url = BUFFER_INIT;
	const char *workload = ctl->args.words[0];
	const json_t *params;
	int r;

	if (buffer_printf(&url, "/v1/workloads/") < 0 || url_add(&url, workload) < 0 ||
	    buffer_add(&url, "/params", sizeof("/params")) < 0)
		return -ENOMEM;
	r = talk_get(ctl, (const char *)url.data, &doc, err);
	if (r < 0)
		return r;
	if (ctl->json)
		return document_print(&doc, err);
	params = json_object_get(doc.json, "params");
	if (json_array_size(params) == 0) {
		(void)printf("%s takes no parameters\n", workload);
		return EXIT_OK;
	}
	return print_params(params, ctl->color);
}
