/* The JSON of `concd-worker --describe`, and values checked against the parameters in it. */
#include "fuzz.h"

#include "base/error.h"
#include "crew/workload.h"

static void check_param(const struct plugin_info *info, const struct plugin_param *param)
{
	static const char *const values[] = { "", "0", "-1", "1.5", "10s", "64M", "true", "a", "1e400", "99999999999999999999" };

	FUZZ_CHECK(param->name && param->value && param->min && param->max && param->choices && param->help);
	FUZZ_CHECK(plugin_info_find_param(info, param->name) == param);
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		struct error err = ERROR_INIT;

		if (plugin_param_check(param, values[i], &err) < 0)
			FUZZ_CHECK(err.code && *err.text);
	}
	(void)plugin_param_check(param, param->choices, NULL); /* right or not */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_copy(data, size);
	struct plugin_info *info = NULL;
	struct error err = ERROR_INIT;

	if (plugin_info_parse(text, size, &info, &err) < 0) {
		FUZZ_CHECK(err.code && *err.text && !info);
	} else {
		FUZZ_CHECK(info->name && info->version && info->summary);
		for (size_t i = 0; i < info->n_params; i++)
			check_param(info, &info->params[i]);
	}
	plugin_info_free(info);
	free(text);
	return 0;
}
