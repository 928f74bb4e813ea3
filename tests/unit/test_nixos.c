/* What a person's name and environment may hold, in Nix and in a shell: evaluated by the real ones. */
#include "base/buf.h"
#include "base/mem.h"
#include "guest/nixos.h"
#include "guest/quote.h"
#include "guest/template.h"
#include "guest/templates.h"
#include "unit/temp_dir.h"
#include "unit/test.h"

#include <unistd.h>

/* The options and packages that the template asks for, as far as these values need them. */
static const char stub[] =
    "let c = import ./configuration.nix { config = {}; modulesPath = \"/modules\";\n"
    "  lib = { optional = b: x: if b then [ x ] else []; makeBinPath = l: \"PATH\"; };\n"
    "  pkgs = { devbox = \"d\"; curl = \"c\"; coreutils = \"c\"; gnugrep = \"g\";\n"
    "    util-linux = \"u\"; writeShellScript = name: text: text; }; };\n"
    "  u = c.users.users.${builtins.head (builtins.attrNames c.users.users)};\n"
    "in [ (builtins.attrNames c.users.users) u.uid u.isNormalUser u.description c.time.timeZone\n"
    "  c.system.stateVersion c.systemd.services.dxvm-agent.serviceConfig.Delegate ]\n";

static char *const no_environment[] = {NULL};

static struct nixos usual(void)
{
	return (struct nixos){.user = "dev",
			      .uid = 1000,
			      .gid = 1000,
			      .description = "",
			      .timezone = "Europe/Berlin",
			      .release = "26.05",
			      .environment = no_environment};
}

/* What a program writes to standard output, in this directory; "" when it fails. */
static const char *output_of(const struct temp_dir *dir, const char *command)
{
	static char text[8192];
	auto_free char *line = xasprintf("cd %s && NIX_STATE_DIR=%s/nix NIX_REMOTE= %s", dir->path,
					 dir->path, command);
	FILE *pipe = popen(line, "r"); /* NOLINT(cert-env33-c): the test's own words */
	size_t n = pipe ? fread(text, 1, sizeof(text) - 1, pipe) : 0;

	if (n > 0 && text[n - 1] == '\n')
		n--;
	text[n] = '\0';
	return pipe && pclose(pipe) == 0 ? text : "";
}

static bool nix_is_there(void)
{
	return access("/usr/bin/nix-instantiate", X_OK) == 0;
}

static void check_evaluates(const struct nixos *nixos, const char *json)
{
	auto_temp_dir struct temp_dir dir = temp_dir_make();
	struct err err = ERR_INIT;
	auto_free char *text = NULL;

	CHECK_INT(nixos_configuration(nixos, &text, &err), 0);
	temp_dir_put_text(&dir, "configuration.nix", text);
	temp_dir_put_text(&dir, "dxvm-boot.sh", template_nixos_boot);
	temp_dir_put_text(&dir, "stub.nix", stub);
	CHECK(*output_of(&dir, "nix-instantiate --parse configuration.nix") != '\0');
	CHECK_STR(
	    output_of(&dir, "nix-instantiate --store dummy:// --eval --strict --json stub.nix"),
	    json);
}

static void the_configuration_says_what_it_was_given(void)
{
	struct nixos nixos = usual();

	if (!nix_is_there())
		SKIP("needs nix-instantiate (Debian's package nix-bin)");
	check_evaluates(&nixos, "[[\"dev\"],1000,true,\"\",\"Europe/Berlin\",\"26.05\",\"yes\"]");
	nixos.timezone = "";
	nixos.uid = 501;
	check_evaluates(&nixos, "[[\"dev\"],501,false,\"\",\"UTC\",\"26.05\",\"yes\"]");
}

static void hostile_names_are_only_names(void)
{
	static const struct {
		const char *name;
		const char *json;
	} cases[] = {
	    {"\"; evil = 1; x = \"", "\\\"; evil = 1; x = \\\""},
	    {"${builtins.abort \"x\"}", "${builtins.abort \\\"x\\\"}"},
	    {"$${x} \\${y} $", "$${x} \\\\${y} $"},
	    {"a\\", "a\\\\"},
	    {"'' ${''x''}", "'' ${''x''}"},
	    {"J\303\274rgen \346\227\245", "J\303\274rgen \346\227\245"},
	    {"a:b:/bin/sh", "a b /bin/sh"},
	    {"a\nroot::0", "a\\\\nroot  0"},
	    {"@release@ @user@", "@release@ @user@"},
	};

	if (!nix_is_there())
		SKIP("needs nix-instantiate (Debian's package nix-bin)");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct nixos nixos = usual();
		auto_free char *json = xasprintf(
		    "[[\"dev\"],1000,true,\"%s\",\"UTC\",\"26.05\",\"yes\"]", cases[i].json);

		nixos.description = cases[i].name;
		nixos.timezone = "";
		check_evaluates(&nixos, json);
	}
}

static void a_hostile_user_or_zone_stays_a_string(void)
{
	struct nixos nixos = usual();

	if (!nix_is_there())
		SKIP("needs nix-instantiate (Debian's package nix-bin)");
	nixos.user = "x\"${y}\\";
	nixos.timezone = "\"; boot = {}; #";
	check_evaluates(&nixos, "[[\"x\\\"${y}\\\\\"],1000,true,\"\",\"\\\"; boot = {}; "
				"#\",\"26.05\",\"yes\"]");
}

static void a_release_is_two_numbers(void)
{
	static const char *const others[] = {"",	"26",	 "26.5",    "26.05.1",
					     "26.05\"", "aa.bb", "unstable"};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		struct nixos nixos = usual();
		struct err err = ERR_INIT;
		char *text = NULL;

		nixos.release = others[i];
		CHECK_INT(nixos_configuration(&nixos, &text, &err), -1);
		CHECK(strstr(err.text, "no release of NixOS") != NULL);
	}
}

static void a_hostile_environment_stays_in_its_quotes(void)
{
	auto_temp_dir struct temp_dir dir = temp_dir_make();
	char *const environment[] = {
	    (char[]){"http_proxy='$(touch evil)`touch evil`\\\n\"; touch evil '\\''"}, NULL};
	struct nixos nixos = usual();
	struct err err = ERR_INIT;
	auto_free char *text = NULL;
	auto_free char *head = NULL;

	nixos.environment = environment;
	CHECK_INT(nixos_install_script(&nixos, &text, &err), 0);
	/* Up to its first step, which needs a disk. */
	head = xasprintf("%.*sprintf %%s \"$http_proxy\"\n", (int)(strstr(text, "step()") - text),
			 text);
	temp_dir_put_text(&dir, "head.sh", head);
	CHECK_STR(output_of(&dir, "sh head.sh"), environment[0] + strlen("http_proxy="));
	CHECK(faccessat(dir.fd, "evil", F_OK, 0) < 0);
	temp_dir_put_text(&dir, "install.sh", text);
	CHECK_STR(output_of(&dir, "sh -n install.sh && echo fine"), "fine");
}

static void a_variable_has_a_name(void)
{
	char *const environment[] = {(char[]){"x;evil=1"}, NULL};
	struct nixos nixos = usual();
	struct err err = ERR_INIT;
	char *text = NULL;

	nixos.environment = environment;
	CHECK_INT(nixos_install_script(&nixos, &text, &err), -1);
	CHECK(strstr(err.text, "is no variable") != NULL);
}

static void places_and_values_must_belong_together(void)
{
	const struct template_value value = {"a", "1"};
	struct err err = ERR_INIT;
	char *text = NULL;

	CHECK_INT(template_fill("@a@ a@b.c @ @@ @a@", &value, 1, &text, &err), 0);
	CHECK_STR(text, "1 a@b.c @ @@ 1");
	free(text);
	CHECK_INT(template_fill("@a@ @b@", &value, 1, &text, &err), -1);
	CHECK_STR(err.text, "there is no value for @b@");
	CHECK_INT(template_fill("x", &value, 1, &text, &err), -1);
	CHECK_STR(err.text, "there is no place for @a@");
}

static void every_step_of_the_script_has_words(void)
{
	const char *at = template_nixos_install;
	size_t count = 0;

	while ((at = strstr(at, "\nstep "))) {
		char name[32] = "";

		at += strlen("\nstep ");
		(void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(at, "\n"), at);
		if (!nixos_step(name))
			printf("# no words for %s\n", name);
		CHECK(nixos_step(name) != NULL);
		count++;
	}
	CHECK_INT(count, 4);
}

TEST_MAIN(TEST(the_configuration_says_what_it_was_given), TEST(hostile_names_are_only_names),
	  TEST(a_hostile_user_or_zone_stays_a_string), TEST(a_release_is_two_numbers),
	  TEST(a_hostile_environment_stays_in_its_quotes), TEST(a_variable_has_a_name),
	  TEST(places_and_values_must_belong_together), TEST(every_step_of_the_script_has_words))
