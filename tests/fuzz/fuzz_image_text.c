/*
 * What dxvm-image reads of this host and of packages: sources files, subordinate ids, package
 * lists, kernel modules. The first byte says which. Whatever it is: within its bounds, and nothing
 * but URIs that apt can be given.
 */
#include "base/mem.h"
#include "image/jail.h"
#include "image/module.h"
#include "image/package_list.h"
#include "image/sources.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_uri(const char *uri)
{
	assert(!uri || (strchr(uri, ':') && !strpbrk(uri, " \t\n")));
}

static void scan(const char *text, enum sources_format format)
{
	struct sources_found found = {0};

	sources_scan(text, format, &found);
	check_uri(found.main);
	check_uri(found.updates);
	check_uri(found.security);
	sources_found_done(&found);
}

static void read_module(const uint8_t *data, size_t size)
{
	/* Of its exact size, and aligned as what unpack_read returns. */
	auto_free uint8_t *copy = xmemdup(data, size);
	const char *depends = module_depends(copy, size);

	assert(!depends || *depends == '\0' ||
	       ((const uint8_t *)depends > copy && (const uint8_t *)depends < copy + size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2 || size > (size_t)64 << 10)
		return 0;
	auto_free char *text = xstrndup((const char *)data + 1, size - 1);
	auto_free char *list = NULL;
	switch (data[0]) {
	case 'l':
		scan(text, SOURCES_LINES);
		break;
	case 'd':
		scan(text, SOURCES_DEB822);
		break;
	case 's':
		(void)jail_has_range(text, "ann", 1000);
		assert(jail_free_range(text, text) >= 100000);
		break;
	case 'p':
		list = package_list_join(text);
		assert(strlen(list) <= strlen(text) && !strpbrk(list, " \n#"));
		break;
	default:
		read_module(data + 1, size - 1);
	}
	return 0;
}
