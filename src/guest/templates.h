#pragma once
/*
 * The files of templates/nixos as text, put into the program by tools/embed.
 */
extern const char template_nixos_configuration[];
extern const char template_nixos_install[];
extern const char template_nixos_boot[]; /* the hook of boot.loader.external */
