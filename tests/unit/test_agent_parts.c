/* The agent's smaller pure parts: options, environment, kernel command line, hosts, aliases. */
#include "agent/environment.h"
#include "agent/identity.h"
#include "agent/init.h"
#include "agent/locale.h"
#include "agent/nix.h"
#include "agent/options.h"
#include "agent/shares.h"
#include "base/mem.h"
#include "unit/temp_dir.h"
#include "unit/test.h"
#include "wire/msg.h"

#include <stdint.h>
#include <unistd.h>

static struct user somebody = {.name = (char[]){"dev"},
			       .uid = 1234,
			       .home = (char[]){"/home/dev"},
			       .shell = (char[]){"/bin/zsh"}};

static const struct nix_sources no_sources = {.cache = NULL};

static int parse(struct options *options, struct err *err, int count, const char *const *words)
{
	char *argv[8] = {(char[]){"dxvm-agent"}};

	for (int i = 0; i < count; i++)
		argv[i + 1] = xstrdup(words[i]);
	int result = options_parse(options, count + 1, argv, 77, err);
	for (int i = 0; i < count; i++)
		if (!options->project || options->project != argv[i + 1])
			free(argv[i + 1]);
	return result;
}

static void options_say_what_runs_where(void)
{
	static const char *const words[] = {"--fake", "--link-fd", "5", "--project", "/p"};
	struct options options;
	struct err err = ERR_INIT;

	CHECK(parse(&options, &err, 5, words) == 0);
	CHECK_INT(options.mode, AGENT_FAKE);
	CHECK_INT(options.link_fd, 5);
	CHECK_INT(options.share_fd, -1);
	CHECK_STR(options.project, "/p");
	free((void *)(uintptr_t)options.project);
}

static void pid_1_looks_at_no_argument(void)
{
	char *argv[] = {(char[]){"init"}, (char[]){"--nonsense"}, NULL};
	struct options options;
	struct err err = ERR_INIT;

	CHECK(options_parse(&options, 2, argv, 1, &err) == 0);
	CHECK_INT(options.mode, AGENT_INIT);
}

static void options_that_cannot_be_understood_are_named(void)
{
	static const char *const bad[][2] = {{"--link-fd", "x"},   {"--link-fd", "-1"},
					     {"--link-fd", "1x"},  {"--link-fd", ""},
					     {"--fake", "--fake"}, {"--what", "1"}};
	struct options options = {.version = false};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct err err = ERR_INIT;

		CHECK(parse(&options, &err, 2, bad[i]) < 0);
		CHECK_INT(err.code, ERR_USAGE);
		CHECK(strstr(err.text, "--") != NULL);
	}
}

static void the_client_overrides_the_base_environment(void)
{
	char *given[] = {(char[]){"HOME=/x"},
			 (char[]){"A=1"},
			 (char[]){"PATH=/p"},
			 (char[]){"=bad"},
			 (char[]){"bad"},
			 (char[]){"B=\x01\xff=="},
			 NULL};
	char **environment = environment_make(&somebody, NULL, &no_sources, false, given);
	size_t count = 0;

	while (environment[count])
		count++;
	CHECK_INT(count, 10);
	CHECK_STR(environment_get(environment, "HOME"), "/x");
	CHECK_STR(environment_get(environment, "PATH"), "/p");
	CHECK_STR(environment_get(environment, "USER"), "dev");
	CHECK_STR(environment_get(environment, "SHELL"), "/bin/zsh");
	CHECK_STR(environment_get(environment, "LANG"), "C.UTF-8");
	CHECK_STR(environment_get(environment, "XDG_RUNTIME_DIR"), "/run/user/1234");
	CHECK_STR(environment_get(environment, "A"), "1");
	CHECK_STR(environment_get(environment, "B"), "\x01\xff==");
	CHECK(environment_get(environment, "bad") == NULL);
	msg_free_strings(environment);
}

static void nix_is_told_of_the_hosts_cache_and_the_keys_it_can_read(void)
{
	auto_temp_dir struct temp_dir dir = temp_dir_make();
	auto_free char *wanted =
	    xasprintf("NIX_CONFIG=extra-substituters = file://%s?priority=10 file:///a https://b\n"
		      "substitute = true\nextra-trusted-public-keys = c-1:Zm9v+/= d:AAAA\n"
		      "download-attempts = 1\n",
		      dir.path);
	struct nix_sources sources;

	temp_dir_put_text(&dir, "cache.pub", "c-1:Zm9v+/=\nmore\n");
	temp_dir_put_text(&dir, "bad.pub", "a b:Zm9v\n");
	temp_dir_put_text(&dir, "empty.pub", "");
	temp_dir_put_text(&dir, "secret", "s:AAAA");
	CHECK(symlinkat("secret", dir.fd, "link.pub") == 0);
	nix_sources_find(dir.path, false, &sources);
	auto_free char *text =
	    nix_sources_variable(&sources, "file:///a\n https://b\n", "d:AAAA\n");
	CHECK_STR(text, wanted);
	nix_sources_done(&sources);
}

static void nix_is_told_nothing_where_there_is_nothing_to_say(void)
{
	struct nix_sources sources;

	nix_sources_find(NULL, true, &sources);
	CHECK(nix_sources_variable(&sources, NULL, "  \n") == NULL);
	auto_free char *text = nix_sources_variable(&sources, "https://a", NULL);
	CHECK_STR(text, "NIX_CONFIG=extra-substituters = https://a\nsubstitute = true\n");
	nix_sources_done(&sources);
}

static void an_unknown_terminal_becomes_one_the_guest_knows(void)
{
	auto_temp_dir struct temp_dir dir = temp_dir_make();
	const char *databases[] = {"/nonexistent", dir.path, NULL};

	CHECK_STR(environment_term("foot", databases), "linux");
	CHECK_STR(environment_term("dumb", databases), "dumb");
	CHECK(mkdirat(dir.fd, "x", 0700) == 0 && mkdirat(dir.fd, "f", 0700) == 0);
	temp_dir_put_text(&dir, "x/xterm", "");
	CHECK_STR(environment_term("foot", databases), "xterm");
	temp_dir_put_text(&dir, "x/xterm-256color", "");
	CHECK_STR(environment_term("foot", databases), "xterm-256color");
	CHECK_STR(environment_term(NULL, databases), "xterm-256color");
	CHECK_STR(environment_term("", databases), "xterm-256color");
	temp_dir_put_text(&dir, "f/foot", "");
	CHECK_STR(environment_term("foot", databases), "foot");
	CHECK_STR(environment_term("f/../x/xterm", databases), "xterm-256color");
}

static void the_root_is_found_on_the_kernel_command_line(void)
{
	auto_free char *first = init_find_root("dxvm.root=/dev/vda quiet\n");
	auto_free char *last = init_find_root("quiet  not.dxvm.root=/x dxvm.root=/dev/vdb\n");
	auto_free char *none = init_find_root("quiet root=/dev/vda xdxvm.root=/y\n");

	CHECK_STR(first, "/dev/vda");
	CHECK_STR(last, "/dev/vdb");
	CHECK(none == NULL);
}

static void hosts_keep_their_lines_and_know_one_name_of_ours(void)
{
	auto_free char *fresh = identity_hosts("", "a");
	auto_free char *once = identity_hosts("127.0.0.1 localhost\n127.0.1.10 x\n9.9.9.9 y", "a");
	auto_free char *twice = identity_hosts(once, "b");

	CHECK_STR(fresh, "127.0.0.1\tlocalhost\n::1\tlocalhost\n127.0.1.1\ta\n");
	CHECK_STR(once, "127.0.0.1 localhost\n127.0.1.10 x\n9.9.9.9 y\n127.0.1.1\ta\n");
	CHECK_STR(twice, "127.0.0.1 localhost\n127.0.1.10 x\n9.9.9.9 y\n127.0.1.1\tb\n");
}

static void no_alias_is_made_where_the_system_lives(void)
{
	static const char *const bad[] = {"",
					  "relative/x",
					  "/",
					  "/work",
					  "/etc/x",
					  "/usr/src/x",
					  "/a/../etc/x",
					  "/home//x",
					  "/home/d/devbox/p",
					  "/home/d/devbox/p/sub",
					  "/dev/x"};

	CHECK(shares_alias_will_do("/projects/x", "/home/d/devbox/p"));
	CHECK(shares_alias_will_do("/home/d/src/p", "/home/d/devbox/p"));
	CHECK(shares_alias_will_do("/etcetera/x", "/home/d/devbox/p"));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK(!shares_alias_will_do(bad[i], "/home/d/devbox/p"));
}

static void what_the_guest_has_at_an_aliass_place_stays_as_it_is(void)
{
	auto_temp_dir struct temp_dir dir = temp_dir_make();
	auto_free char *file = xasprintf("%s/file", dir.path);
	auto_free char *link = xasprintf("%s/link", dir.path);
	struct err err = ERR_INIT;
	struct stat st;

	if (geteuid() != 0)
		SKIP("only root gives files away");
	temp_dir_put_text(&dir, "file", "the guest's");
	CHECK_INT(shares_link(file, "/home/d/devbox/p", &somebody, &err), 0);
	CHECK(lstat(file, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == 0);
	CHECK_INT(shares_link(link, "/home/d/devbox/p", &somebody, &err), 0);
	CHECK(lstat(link, &st) == 0 && S_ISLNK(st.st_mode) && st.st_uid == somebody.uid);
}

/* As localedef makes it: a header of 32-bit numbers, then somewhere the names. */
static void put_archive(const struct temp_dir *dir, uint32_t used)
{
	static const char names[] = "de_DE.utf8\0en_US.utf8\0sr_RS.utf8@latin";
	uint32_t file[32] = {0xde020109u, 0, 0, 0, 0, 64, used ? used : (uint32_t)sizeof(names)};

	memcpy((char *)file + 64, names, sizeof(names));
	temp_dir_put(dir, "locale-archive", file, sizeof(file));
}

static void a_locale_the_guest_does_not_have_is_not_named_to_programs(void)
{
	auto_temp_dir struct temp_dir dir = temp_dir_make();
	const char *const folders[] = {"/no/such/folder", dir.path, NULL};

	CHECK(locale_known("C.UTF-8", folders) && locale_known("POSIX", folders));
	CHECK(!locale_known("de_DE.UTF-8", folders));
	CHECK(mkdirat(dir.fd, "fr_FR.utf8", 0700) == 0 && mkdirat(dir.fd, "fi_FI@euro", 0700) == 0);
	CHECK(locale_known("fr_FR.UTF-8", folders) && locale_known("fr_FR.utf8", folders));
	CHECK(locale_known("fi_FI@euro", folders));
	CHECK(!locale_known("fr_FR", folders) && !locale_known("FR_FR.UTF-8", folders));
	put_archive(&dir, 0);
	CHECK(locale_known("de_DE.UTF-8", folders) && locale_known("sr_RS.UTF-8@latin", folders));
	CHECK(!locale_known("DE.utf8", folders) && !locale_known("en_US", folders));
	CHECK(!locale_known("../x", folders) && !locale_known("..", folders));
	put_archive(&dir, 4096); /* longer than the file */
	CHECK(!locale_known("de_DE.UTF-8", folders));
	put_archive(&dir, UINT32_MAX);
	CHECK(!locale_known("de_DE.UTF-8", folders));
	put_archive(&dir, 9); /* cut inside a name */
	CHECK(!locale_known("de_DE.UTF-8", folders));
}

TEST_MAIN(TEST(options_say_what_runs_where), TEST(pid_1_looks_at_no_argument),
	  TEST(options_that_cannot_be_understood_are_named),
	  TEST(the_client_overrides_the_base_environment),
	  TEST(nix_is_told_of_the_hosts_cache_and_the_keys_it_can_read),
	  TEST(nix_is_told_nothing_where_there_is_nothing_to_say),
	  TEST(an_unknown_terminal_becomes_one_the_guest_knows),
	  TEST(a_locale_the_guest_does_not_have_is_not_named_to_programs),
	  TEST(the_root_is_found_on_the_kernel_command_line),
	  TEST(hosts_keep_their_lines_and_know_one_name_of_ours),
	  TEST(no_alias_is_made_where_the_system_lives),
	  TEST(what_the_guest_has_at_an_aliass_place_stays_as_it_is))
