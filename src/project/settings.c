/*
 * The settings are a table: name, how its text is read, bounds, default. Reading, checking, writing
 * and the error texts all come from it.
 */
#include "project/settings.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/number.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB		  ((uint64_t)1 << 20)
#define GIB		  ((uint64_t)1 << 30)
#define TEXT_MAX	  4096
#define DEFAULT_DISK	  (32 * GIB)
#define DEFAULT_DISK_TEXT "32G"
#define DEFAULT_IDLE	  30
#define MEM_ALIGN	  (2 * MIB)

enum shape {
	SHAPE_SIZE,
	SHAPE_COUNT,
	SHAPE_NET,
	SHAPE_SECONDS,
	SHAPE_LEVEL,
	SHAPE_GUEST,
};

struct setting {
	const char *name;
	enum shape shape;
	uint64_t min;
	uint64_t max;
	const char *allowed; /* for the error text */
};

enum setting_index {
	SETTING_MEM,
	SETTING_CPU,
	SETTING_DISK,
	SETTING_NET,
	SETTING_IDLE,
	SETTING_LOGLEVEL,
	SETTING_GUEST, /* last: see settings_write_missing */
	SETTING_LAST,
};

static const struct setting table[] = {
    [SETTING_MEM] = {"mem", SHAPE_SIZE, 128 * MIB, 1024 * GIB,
		     "bytes, or a number with K, M, G or T, from 128M to 1T"},
    [SETTING_CPU] = {"cpu", SHAPE_COUNT, 1, 255, "a number from 1 to 255"},
    [SETTING_DISK] = {"disk", SHAPE_SIZE, 4 * GIB, 16384 * GIB,
		      "bytes, or a number with K, M, G or T, from 4G to 16T"},
    [SETTING_NET] = {"net", SHAPE_NET, 0, 0, "\"user\" or \"off\""},
    [SETTING_IDLE] = {"idle", SHAPE_SECONDS, 1, 604800, "seconds from 1 to 604800, or \"never\""},
    [SETTING_LOGLEVEL] = {"loglevel", SHAPE_LEVEL, 0, 0,
			  "\"error\", \"warning\", \"info\" or \"debug\""},
    [SETTING_GUEST] = {"guest", SHAPE_GUEST, 0, 0, "a kind of guest, as `dxvm install` writes it"},
};
_Static_assert(ARRAY_SIZE(table) == SETTING_LAST, "one row a setting");

static uint64_t clamp(uint64_t value, uint64_t min, uint64_t max)
{
	return value < min ? min : value > max ? max : value;
}

/* Half the host's memory, at most 4 GiB: the guest's pages cost the host only once touched. */
static uint64_t default_mem(void)
{
	long pages = sysconf(_SC_PHYS_PAGES);
	long size = sysconf(_SC_PAGESIZE);
	uint64_t half = pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size / 2 : GIB;

	return clamp(half / MEM_ALIGN * MEM_ALIGN, 512 * MIB, 4 * GIB);
}

static uint64_t default_cpu(void)
{
	long count = sysconf(_SC_NPROCESSORS_ONLN);

	return clamp(count > 0 ? (uint64_t)count : 1, 1, 8);
}

bool settings_parse_size(const char *text, uint64_t *ret_bytes)
{
	static const char units[] = "KMGT";
	const char *unit;
	char *end;
	unsigned shift = 0;

	if (!isdigit((unsigned char)text[0]))
		return false;
	errno = 0;
	unsigned long long number = strtoull(text, &end, 10);
	if (errno)
		return false;
	if (*end && (unit = strchr(units, toupper((unsigned char)*end)))) {
		shift = 10 * (unsigned)(unit - units + 1);
		end++;
		if (end[0] == 'i' && end[1] == 'B')
			end += 2;
		else if (end[0] == 'B')
			end++;
	}
	if (*end || number > UINT64_MAX >> shift)
		return false;
	*ret_bytes = (uint64_t)number << shift;
	return true;
}

/* The value stands on line 1; blank lines may follow, nothing else. */
static int only_line(const struct setting *setting, char *text, size_t length, struct err *err)
{
	char *end = strchr(text, '\n');
	size_t line = 1;

	if (strlen(text) != length)
		return err_set(err, ERR_INVALID, "%s: contains a NUL byte; allowed: %s",
			       setting->name, setting->allowed);
	for (const char *c = end; c && *c; c++) {
		if (*c == '\n')
			line++;
		else if (!isspace((unsigned char)*c))
			return err_set(
			    err, ERR_INVALID,
			    "%s: line %zu: one value on the first line is all there may be; "
			    "allowed: %s",
			    setting->name, line, setting->allowed);
	}
	if (end)
		*end = '\0';
	for (size_t n = strlen(text); n > 0 && isspace((unsigned char)text[n - 1]); n--)
		text[n - 1] = '\0';
	return 0;
}

static bool parse(const struct setting *setting, const char *text, uint64_t *ret_value)
{
	switch (setting->shape) {
	case SHAPE_SIZE:
		return settings_parse_size(text, ret_value) && *ret_value >= setting->min &&
		       *ret_value <= setting->max;
	case SHAPE_COUNT: {
		char *end;

		errno = 0;
		*ret_value = strtoull(text, &end, 10);
		return isdigit((unsigned char)text[0]) && !*end && !errno &&
		       *ret_value >= setting->min && *ret_value <= setting->max;
	}
	case SHAPE_NET:
		*ret_value = strcmp(text, "user") == 0;
		return *ret_value || strcmp(text, "off") == 0;
	case SHAPE_SECONDS:
		*ret_value = 0;
		return strcmp(text, "never") == 0 ||
		       (number_take(&text, 10, setting->max, ret_value) && !*text &&
			*ret_value >= setting->min);
	case SHAPE_LEVEL: {
		enum log_level level = LOG_INFO;
		bool known = log_level_parse(text, &level);

		*ret_value = level;
		return known;
	}
	case SHAPE_GUEST: {
		const struct kind *kind = kind_find(text);

		*ret_value = kind ? (uint64_t)(kind - kinds) : 0;
		return kind != NULL;
	}
	}
	return false;
}

/* Reads one setting's line. *ret_text is NULL when there is no file. */
static int read_line(int data_dir, const struct setting *setting, char **ret_text, struct err *err)
{
	auto_free char *text = NULL;
	size_t length = 0;

	*ret_text = NULL;
	if (file_read(data_dir, setting->name, TEXT_MAX, &text, &length, err) < 0)
		return err->code == ERR_NOT_FOUND ? 0 : -1;
	if (only_line(setting, text, length, err) < 0)
		return -1;
	*ret_text = take_ptr(&text);
	return 0;
}

/* The value of a text; a missing one (NULL) leaves *value, the default, as it is. */
static int understand(const struct setting *setting, const char *text, uint64_t *value,
		      struct err *err)
{
	uint64_t parsed = 0;

	if (!text)
		return 0;
	if (!parse(setting, text, &parsed))
		return err_set(err, ERR_INVALID,
			       "%s: line 1: \"%.60s\" is not understood; allowed: %s",
			       setting->name, text, setting->allowed);
	*value = parsed;
	return 0;
}

static int load(int data_dir, enum setting_index index, uint64_t *value, struct err *err)
{
	auto_free char *text = NULL;

	return read_line(data_dir, &table[index], &text, err) < 0 ||
		       understand(&table[index], text, value, err) < 0
		   ? -1
		   : 0;
}

int settings_load_as(int data_dir, const struct kind *kind, struct settings *ret_settings,
		     struct err *err)
{
	uint64_t mem = default_mem();
	uint64_t cpu = default_cpu();
	uint64_t disk = DEFAULT_DISK;
	uint64_t net = true;
	uint64_t idle = DEFAULT_IDLE;
	uint64_t loglevel = LOG_INFO;
	uint64_t guest = kind ? (uint64_t)(kind - kinds) : UINT64_MAX;

	if (load(data_dir, SETTING_MEM, &mem, err) < 0 ||
	    load(data_dir, SETTING_CPU, &cpu, err) < 0 ||
	    load(data_dir, SETTING_DISK, &disk, err) < 0 ||
	    load(data_dir, SETTING_NET, &net, err) < 0 ||
	    load(data_dir, SETTING_IDLE, &idle, err) < 0 ||
	    load(data_dir, SETTING_LOGLEVEL, &loglevel, err) < 0 ||
	    (!kind && load(data_dir, SETTING_GUEST, &guest, err) < 0))
		return -1;
	if (guest == UINT64_MAX)
		return err_set(err, ERR_NOT_FOUND, "guest: no such file: there is no VM here");
	*ret_settings = (struct settings){
	    .mem = mem / MEM_ALIGN * MEM_ALIGN,
	    .cpu = cpu,
	    .disk = disk,
	    .net = net,
	    .idle = idle,
	    .loglevel = (enum log_level)loglevel,
	    .guest = &kinds[guest],
	};
	return 0;
}

int settings_load(int data_dir, struct settings *ret_settings, struct err *err)
{
	return settings_load_as(data_dir, NULL, ret_settings, err);
}

static int write_missing(int data_dir, const char *name, const char *text, struct err *err)
{
	struct stat st;

	if (fstatat(data_dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	auto_free char *line = xasprintf("%s\n", text);
	return file_write_atomic(data_dir, name, line, strlen(line), 0600, err);
}

static char *default_text(enum setting_index index)
{
	switch (index) {
	case SETTING_MEM:
		return xasprintf("%llu", (unsigned long long)default_mem());
	case SETTING_CPU:
		return xasprintf("%llu", (unsigned long long)default_cpu());
	case SETTING_DISK:
		return xstrdup(DEFAULT_DISK_TEXT);
	case SETTING_NET:
		return xstrdup("user");
	case SETTING_IDLE:
		return xasprintf("%d", DEFAULT_IDLE);
	case SETTING_LOGLEVEL:
		return xstrdup("info");
	case SETTING_GUEST:
	case SETTING_LAST:
	default:
		return xstrdup("");
	}
}

int settings_write_missing(int data_dir, const struct kind *guest, struct err *err)
{
	/* `guest` last: a data directory counts as a VM from then on. */
	for (size_t i = 0; i < SETTING_LAST; i++) {
		auto_free char *text =
		    i == SETTING_GUEST ? xstrdup(guest->name) : default_text((enum setting_index)i);

		if (write_missing(data_dir, table[i].name, text, err) < 0)
			return -1;
	}
	return 0;
}

int settings_text(int data_dir, size_t i, struct setting_text *ret_text, struct err *err)
{
	auto_free char *text = NULL;
	uint64_t value;
	bool is_default;

	if (i >= SETTING_LAST)
		return err_set(err, ERR_NOT_FOUND, "no more settings");
	if (read_line(data_dir, &table[i], &text, err) < 0 ||
	    understand(&table[i], text, &value, err) < 0)
		return -1;
	is_default = !text;
	*ret_text = (struct setting_text){
	    .name = table[i].name,
	    .allowed = table[i].allowed,
	    .value = is_default ? default_text((enum setting_index)i) : take_ptr(&text),
	    .is_default = is_default,
	};
	return 0;
}

int settings_find(const char *name, size_t *ret_i, struct err *err)
{
	for (size_t i = 0; i < SETTING_LAST; i++) {
		if (strcmp(table[i].name, name) == 0) {
			*ret_i = i;
			return 0;
		}
	}
	return err_set(err, ERR_USAGE,
		       "there is no setting \"%s\"; there are mem, cpu, disk, net, idle, "
		       "loglevel, guest, share, cache",
		       name);
}

/* A smaller one would be believed, and nothing come of it. */
static int refuse_smaller_disk(int data_dir, uint64_t bytes, struct err *err)
{
	struct stat st;

	if (fstatat(data_dir, "disk.img", &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    (uint64_t)st.st_size <= bytes)
		return 0;
	return err_set(err, ERR_INVALID,
		       "disk: it has %llu bytes (%.1fG) already, and only grows; `dxvm install "
		       "--force` makes another",
		       (unsigned long long)st.st_size, (double)st.st_size / (double)GIB);
}

int settings_set(int data_dir, size_t i, const char *value, struct err *err)
{
	const struct setting *setting = &table[i];
	uint64_t parsed = 0;

	if (i == SETTING_GUEST)
		return err_set(
		    err, ERR_USAGE,
		    "guest: the kind of guest is chosen when the VM is made: dxvm install "
		    "--guest KIND --force makes another");
	if (understand(setting, value, &parsed, err) < 0 ||
	    (i == SETTING_DISK && refuse_smaller_disk(data_dir, parsed, err) < 0))
		return -1;
	auto_free char *line = xasprintf("%s\n", value);
	return file_write_atomic(data_dir, setting->name, line, strlen(line), 0600, err);
}
