#include "guest/nixos.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/safe_text.h"
#include "guest/console_script.h"
#include "guest/quote.h"
#include "guest/template.h"
#include "guest/templates.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#define ENVIRONMENT_MAX ((size_t)65536)
#define TIMEZONE_USUAL	"UTC"

/* The status is told more than once: the kernel may write into the middle of a line. Whatever
 * happens, the machine is switched off. */
const char nixos_command[] =
    " sudo dmesg -n 1; mkdir -p ~/bootstrap; sudo mount -t 9p -o "
    "ro,trans=virtio,version=9p2000.L,msize=262144 bootstrap ~/bootstrap && "
    "sudo sh ~/bootstrap/install.sh; s=$?; for i in 1 2 3; do printf '\\n" CONSOLE_SCRIPT_STATUS
    "%s\\n' $s; sleep 1; done; sudo poweroff\n";

static const struct {
	const char *name;
	const char *text;
} steps[] = {
    {"disk", "making the file system"},
    {"files", "copying the configuration"},
    {"system", "installing NixOS"},
    {"finish", "writing everything to disk"},
};

const char *nixos_step(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
		if (strcmp(steps[i].name, name) == 0)
			return steps[i].text;
	return NULL;
}

static bool is_release(const char *text)
{
	for (size_t i = 0; i < 5; i++)
		if (i == 2 ? text[i] != '.' : !isdigit((unsigned char)text[i]))
			return false;
	return text[5] == '\0';
}

int nixos_configuration(const struct nixos *nixos, char **ret_text, struct err *err)
{
	/* Control characters have no place in the user database. */
	auto_free char *name =
	    safe_text(nixos->description, strlen(nixos->description), SAFE_TEXT_LINE);
	auto_free char *user = quote_nix(nixos->user);
	auto_free char *uid = xasprintf("%lu", (unsigned long)nixos->uid);
	auto_free char *gid = xasprintf("%lu", (unsigned long)nixos->gid);
	auto_free char *description = NULL;
	auto_free char *timezone = quote_nix(*nixos->timezone ? nixos->timezone : TIMEZONE_USUAL);
	auto_free char *release = quote_nix(nixos->release);

	if (!is_release(nixos->release))
		return err_set(err, ERR_INVALID, "\"%.20s\" is no release of NixOS",
			       nixos->release);
	for (char *c = name; *c; c++)
		if (*c == ':')
			*c = ' '; /* it separates the fields there */
	description = quote_nix(name);
	const struct template_value values[] = {
	    {"user", user},	    {"uid", uid},
	    {"gid", gid},	    {"description", description},
	    {"timezone", timezone}, {"release", release},
	};
	return template_fill(template_nixos_configuration, values, ARRAY_SIZE(values), ret_text,
			     err);
}

static bool is_variable(const char *entry)
{
	size_t length = strspn(entry, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_");

	return length > 0 && entry[length] == '=';
}

int nixos_install_script(const struct nixos *nixos, char **ret_text, struct err *err)
{
	auto_buf struct buf exports;

	buf_init(&exports, ENVIRONMENT_MAX);
	for (char *const *entry = nixos->environment; *entry; entry++) {
		auto_free char *value = NULL;

		if (!is_variable(*entry))
			return err_set(err, ERR_INVALID, "\"%.40s\" is no variable", *entry);
		value = quote_shell(strchr(*entry, '=') + 1);
		if (buf_printf(&exports, "export %.*s=%s\n", (int)strcspn(*entry, "="), *entry,
			       value) < 0)
			return err_set(err, ERR_INVALID, "the environment is too large");
	}
	auto_free char *environment = buf_take_string(&exports);
	const struct template_value values[] = {{"environment", environment}};
	return template_fill(template_nixos_install, values, ARRAY_SIZE(values), ret_text, err);
}
