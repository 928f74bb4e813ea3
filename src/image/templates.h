#pragma once
/*
 * The files of templates/ as text, put into the program by tools/embed.
 */
extern const char template_debian_packages[];
extern const char template_debian_build[];
extern const char template_debian_nix_conf[];
extern const char template_debian_profile[];
extern const char template_debian_completion[];
