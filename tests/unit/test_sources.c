#include "base/mem.h"
#include "image/sources.h"
#include "unit/test.h"

static void check_found(const char *text, enum sources_format format, const char *main_uri,
			const char *updates, const char *security)
{
	struct sources_found found = {0};

	sources_scan(text, format, &found);
	CHECK_STR(found.main ? found.main : "none", main_uri);
	CHECK_STR(found.updates ? found.updates : "none", updates);
	CHECK_STR(found.security ? found.security : "none", security);
	sources_found_done(&found);
}

static void a_debian_hosts_deb822_file_gives_all_three(void)
{
	check_found("Types: deb\n"
		    "# a comment in between\n"
		    "URIs: http://mirror.example/debian\n"
		    "Suites: bookworm bookworm-updates\n"
		    "Components: main\n"
		    "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
		    "\n"
		    "Types: deb deb-src\n"
		    "URIs: http://security.example/debian-security/\n"
		    "Suites: bookworm-security\n"
		    "Components: main contrib\n",
		    SOURCES_DEB822, "http://mirror.example/debian", "http://mirror.example/debian",
		    "http://security.example/debian-security");
}

static void a_one_line_file_gives_all_three(void)
{
	check_found(
	    "# deb http://old.example/debian bookworm main\n"
	    "deb-src http://src.example/debian bookworm main\n"
	    "deb [arch=amd64 signed-by=/k.gpg] https://mirror.example/debian/ bookworm main\n"
	    "deb\thttps://mirror.example/debian\tbookworm-updates\tmain contrib # c\n"
	    "deb https://mirror.example/debian-security bookworm-security main",
	    SOURCES_LINES, "https://mirror.example/debian", "https://mirror.example/debian",
	    "https://mirror.example/debian-security");
}

static void other_archives_with_debians_suite_names_are_left_alone(void)
{
	check_found("deb https://download.vendor.example/linux/debian bookworm stable\n"
		    "deb https://packages.vendor.example/apt bookworm main\n"
		    "deb https://apt.vendor.example/debian bookworm-vendor main\n"
		    "deb http://archive.example/ubuntu jammy main universe\n"
		    "deb http://archive.example/debian nodistro main\n",
		    SOURCES_LINES, "none", "none", "none");
}

static void what_only_apt_can_reach_is_left_alone(void)
{
	check_found("deb cdrom:[Debian]/debian bookworm main\n"
		    "deb mirror+file:/etc/apt/mirrors/debian bookworm main\n",
		    SOURCES_LINES, "none", "none", "none");
}

static void a_switched_off_stanza_does_not_count(void)
{
	check_found("Types: deb\nURIs: http://a.example/debian\nSuites: trixie\nComponents: main\n"
		    "Enabled: no\n",
		    SOURCES_DEB822, "none", "none", "none");
}

static void a_field_continues_on_indented_lines(void)
{
	check_found("Types:\n deb\nURIs: http://a.example/debian\nSuites:\n sid\n# why\n"
		    " bookworm-updates\nComponents: main\n",
		    SOURCES_DEB822, "http://a.example/debian", "http://a.example/debian", "none");
}

static void the_first_of_several_mirrors_counts(void)
{
	check_found("deb http://a.example/debian bookworm main\n"
		    "deb http://b.example/debian bookworm main\n",
		    SOURCES_LINES, "http://a.example/debian", "none", "none");
}

static void every_prefix_of_a_file_is_scanned_without_harm(void)
{
	static const char text[] = "Types: deb\nURIs: http://a.example/debian\n: x\n\n \n"
				   "deb [ http://a.example/debian bookworm main\ndeb\nSuites:";

	for (size_t length = 0; length <= sizeof(text) - 1; length++) {
		auto_free char *prefix = xstrndup(text, length);
		struct sources_found found = {0};

		sources_scan(prefix, SOURCES_LINES, &found);
		sources_scan(prefix, SOURCES_DEB822, &found);
		CHECK(found.main == NULL);
		sources_found_done(&found);
	}
}

static void the_hosts_loopback_is_the_gateway_for_the_guest(void)
{
	auto_free char *text = sources_for_guest("deb http://localhost:3142/debian x main\n"
						 "deb http://127.0.0.1/debian x main\n"
						 "deb http://localhost.example/debian x main\n"
						 "Acquire::http::Proxy \"http://[::1]:8\";");

	CHECK_STR(text, "deb http://10.0.2.2:3142/debian x main\n"
			"deb http://10.0.2.2/debian x main\n"
			"deb http://localhost.example/debian x main\n"
			"Acquire::http::Proxy \"http://10.0.2.2:8\";");
}

TEST_MAIN(TEST(a_debian_hosts_deb822_file_gives_all_three), TEST(a_one_line_file_gives_all_three),
	  TEST(other_archives_with_debians_suite_names_are_left_alone),
	  TEST(what_only_apt_can_reach_is_left_alone), TEST(a_switched_off_stanza_does_not_count),
	  TEST(a_field_continues_on_indented_lines), TEST(the_first_of_several_mirrors_counts),
	  TEST(every_prefix_of_a_file_is_scanned_without_harm),
	  TEST(the_hosts_loopback_is_the_gateway_for_the_guest))
