/*
 * Runs a fuzz harness over a corpus without libFuzzer, so that every compiler and every test run
 * replays what was once found. Usage: replay_NAME FOLDER. Prints TAP, a point for each file.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_MAX ((size_t)1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int only_files(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static int replay(const char *folder, const char *name)
{
	char path[4096];
	uint8_t *data;
	size_t size;
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "re");
	if (!file)
		return -1;
	data = malloc(INPUT_MAX);
	size = data ? fread(data, 1, INPUT_MAX, file) : 0;
	(void)fclose(file);
	if (!data)
		return -1;
	/* An allocation of exactly this size lets the sanitizers see a read past the end. */
	uint8_t *exact = malloc(size ? size : 1);
	if (exact) {
		memcpy(exact, data, size);
		(void)LLVMFuzzerTestOneInput(exact, size);
	}
	free(data);
	free(exact);
	return exact ? 0 : -1;
}

int main(int argc, char **argv)
{
	struct dirent **entries = NULL;
	int count = argc == 2 ? scandir(argv[1], &entries, only_files, alphasort) : -1;
	int failed = count <= 0;

	if (count <= 0) {
		(void)printf("Bail out! no corpus in %s\n", argc == 2 ? argv[1] : "(no folder)");
		return 1;
	}
	(void)printf("1..%d\n", count);
	for (int i = 0; i < count; i++) {
		int bad = replay(argv[1], entries[i]->d_name) < 0;

		(void)printf("%s %d - %s\n", bad ? "not ok" : "ok", i + 1, entries[i]->d_name);
		failed = failed || bad;
		free(entries[i]);
	}
	free(entries);
	return failed;
}
