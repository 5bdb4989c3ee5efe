// SPDX-License-Identifier: Apache-2.0
/* Runs a fuzz target once on each file of the directories given: the seeds as a plain test, with any compiler. */
#include "fuzz/target.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

enum { INPUT_MAX = 1 << 20 };

static int run_file(const char *directory, const char *name)
{
	static uint8_t data[INPUT_MAX];
	char path[4096];
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	FILE *in = fopen(path, "rb");
	if (in == NULL) {
		perror(path);
		return 1;
	}
	size_t size = fread(data, 1, sizeof(data), in);
	fclose(in);
	LLVMFuzzerTestOneInput(data, size);
	return 0;
}

int main(int argc, char **argv)
{
	int files = 0;
	for (int i = 1; i < argc; i++) {
		struct dirent **entries;
		int count = scandir(argv[i], &entries, NULL, alphasort);
		if (count < 0) {
			perror(argv[i]);
			return 1;
		}
		for (int j = 0; j < count; j++) {
			bool hidden = entries[j]->d_name[0] == '.';
			if (!hidden && run_file(argv[i], entries[j]->d_name) != 0)
				return 1;
			files += !hidden;
			free(entries[j]);
		}
		free(entries);
	}
	printf("%d seeds\n", files);
	return files > 0 ? 0 : 1;
}
