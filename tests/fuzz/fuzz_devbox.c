/*
 * devbox.json, devbox.lock, env_from and a value to expand, as a repository may bring them. The
 * first byte says which; for a lock the two files are divided by a NUL. Whatever it is: something
 * within the bounds, or an error that names a place in the file.
 */
#include "base/mem.h"
#include "devbox/config.h"
#include "devbox/dotenv.h"
#include "devbox/expand.h"
#include "devbox/lock.h"
#include "devbox/pathlist.h"
#include "devbox/quote.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* FILE:LINE:COLUMN: */
static void check_error(const struct err *err, const char *file)
{
	const char *at = err->text + strlen(file);

	assert(err->code == ERR_INVALID);
	assert(strncmp(err->text, file, strlen(file)) == 0);
	for (int i = 0; i < 2; i++) {
		assert(*at == ':' && at[1] >= '1' && at[1] <= '9');
		at += 1 + strspn(at + 1, "0123456789");
	}
	assert(strncmp(at, ": ", 2) == 0);
	assert(!strchr(err->text, '\n') || strstr(err->text, "\""));
}

static void check_config(const struct config *config)
{
	for (size_t i = 0; i < config->package_count; i++)
		assert(strncmp(config->packages[i].key, config->packages[i].name,
			       strlen(config->packages[i].name)) == 0);
	for (size_t i = 0; i < config->script_count; i++) {
		const struct config_script *script = &config->scripts[i];

		assert(*script->name && !strpbrk(script->name, " \t\n/") && *script->body);
		assert(config_script(config, script->name) == script);
	}
	assert(config->init_hook);
}

static void fuzz_config(const char *text, size_t length)
{
	auto_config struct config config = {.file = NULL};
	struct err err = ERR_INIT;

	if (config_parse("devbox.json", text, length, &config, &err) < 0)
		check_error(&err, "devbox.json");
	else
		check_config(&config);
}

static void fuzz_lock(const char *text, size_t length)
{
	const char *second = memchr(text, '\0', length);
	auto_config struct config config = {.file = NULL};
	auto_lock struct lock lock = {.file = NULL};
	struct lock_answer answer;
	struct err err = ERR_INIT;

	if (!second ||
	    config_parse("devbox.json", text, (size_t)(second - text), &config, &err) < 0)
		return;
	second++;
	if (lock_parse("devbox.lock", second, length - (size_t)(second - text), &lock, &err) < 0) {
		check_error(&err, "devbox.lock");
		return;
	}
	for (size_t i = 0; i < config.package_count; i++) {
		if (lock_find(&lock, &config.packages[i], "x86_64-linux", &answer, &err) < 0) {
			check_error(&err, "devbox.lock");
			return;
		}
		assert(answer.count <= LOCK_PATHS && !(answer.count && answer.missing));
		for (size_t k = 0; k < answer.count; k++)
			assert(lock_is_store_path(answer.paths[k]));
	}
}

static void fuzz_dotenv(const char *text)
{
	auto_vars struct vars vars = {.count = 0};
	struct err err = ERR_INIT;

	if (dotenv_parse("x.env", text, &vars, &err) < 0)
		check_error(&err, "x.env");
	for (size_t i = 0; i + 1 < vars.count; i++)
		assert(strcmp(vars.list[i].name, vars.list[i + 1].name) < 0);
}

static void fuzz_values(const char *text)
{
	auto_vars struct vars vars = {.count = 0};
	auto_free char *value = NULL;
	auto_free char *clean = pathlist_clean(text);
	auto_free char *again = pathlist_clean(clean);
	auto_free char *joined = pathlist_join(text, text);
	auto_buf struct buf buf;
	struct err err = ERR_INIT;

	assert(strcmp(clean, again) == 0);
	assert(*joined == '\0' || *joined == '/');
	vars_set(&vars, "A", "value");
	vars_set(&vars, "LONG", text);
	if (expand(text, &vars, "/project", &value, &err) < 0)
		assert(err.code == ERR_INVALID);
	buf_init(&buf, 1 << 20);
	if (quote_single(&buf, text) == 0)
		assert(buf_length(&buf) >= strlen(text) + 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	auto_free char *text = xmalloc(size);

	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	switch (data[0] % 4) {
	case 0:
		fuzz_config(text, size - 1);
		break;
	case 1:
		fuzz_lock(text, size - 1);
		break;
	case 2:
		fuzz_dotenv(text);
		break;
	default:
		fuzz_values(text);
	}
	return 0;
}
