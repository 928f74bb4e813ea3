/* The guest for tests: Debian's kernel and busybox in an initramfs, no disk. */
#include "image/kernel.h"
#include "image/progress.h"
#include "image/recipe.h"

static int make(const struct recipe_context *context, struct err *err)
{
	struct kernel kernel;
	int result;

	if (kernel_get(context->apt, context->scratch, &kernel, err) < 0)
		return -1;
	result =
	    kernel_make_boot(context->apt, &kernel, context->scratch, true, context->output, err);
	kernel_done(&kernel);
	return result;
}

const struct recipe recipe_tiny = {
    .name = "tiny",
    .version = 1,
    .make = make,
};
