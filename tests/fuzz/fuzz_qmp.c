/* A line from QEMU, which a hostile guest may have taken over. */
#include "vm/qmp.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = ERR_INIT;
	struct qmp_line line;

	if (qmp_line_parse((const char *)data, size, &line, &err) < 0) {
		if (err.code != ERR_PROTOCOL || err.text[0] == '\0')
			abort();
		return 0;
	}
	if (line.kind >= QMP_KIND_COUNT || !line.name ||
	    (line.kind == QMP_EVENT && strlen(line.name) > size))
		abort();
	(void)qmp_string(line.data, "return.status");
	(void)qmp_integer(line.data, "return.ram.transferred", -1);
	(void)qmp_bool(line.data, "data.guest");
	qmp_line_done(&line);
	return 0;
}
