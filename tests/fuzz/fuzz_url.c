/* URLs of the downloader, and the names of files made from their paths. */
#include "fuzz.h"

#include "base/text.h"
#include "plugins/downloader/file.h"
#include "plugins/downloader/target.h"

static void check_name(const char *path)
{
	char name[FILE_NAME_SIZE];
	size_t len;

	memset(name, 'x', sizeof(name));
	file_name_from_path(path, name);
	FUZZ_CHECK(memchr(name, 0, FILE_NAME_MAX + 1));
	len = strlen(name);
	FUZZ_CHECK(len > 0 && name[0] != '.' && text_is_utf8(name, len));
	for (size_t i = 0; i < len; i++)
		FUZZ_CHECK((unsigned char)name[i] >= ' ' && name[i] != '/' && name[i] != '\\' && name[i] != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_text(data, size);
	struct target target;
	const char *why = NULL;

	check_name(text);
	if (target_parse(text, size, &target, &why) < 0) {
		FUZZ_CHECK(why && *why);
	} else {
		FUZZ_CHECK(strlen(target.url) == size && memcmp(target.url, text, size) == 0);
		FUZZ_CHECK(strncmp(target.shown, "http", 4) == 0 && strchr(target.shown, '#') == NULL);
		FUZZ_CHECK(target.key && target.path[0] == '/');
		check_name(target.path);
		target_fini(&target);
	}
	free(text);
	return 0;
}
