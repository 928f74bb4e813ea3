#include "image/recipe.h"

#include <string.h>

static const struct recipe *const recipes[] = {&recipe_debian, &recipe_tiny};

const struct recipe *recipe_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(recipes); i++)
		if (strcmp(recipes[i]->name, name) == 0)
			return recipes[i];
	return NULL;
}
