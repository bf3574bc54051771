/* SPDX-License-Identifier: MIT
 *
 * Every way in which programs call demi_init(): compiled as C99 and as C++ (make headers), and run by init_test.c.
 * Each is tried on a thread whose library OS runs already, and so must say EEXIST.
 */
#ifndef TESTS_DEMI_INIT_FORMS_H
#define TESTS_DEMI_INIT_FORMS_H

#include "demi/libos.h"

#include <errno.h>

/* How many forms are wrong. */
static inline int init_forms(int argc, char **argv)
{
    struct demi_args args = {argc, argv, 0};
    const struct demi_args constant = {argc, argv, 0};
    char *const *const_argv = argv;
    char name[] = "program", *array[2] = {name, 0};
    int wrong = 0;
    wrong += demi_init(NULL) != EEXIST;
    wrong += demi_init(&args) != EEXIST;
    wrong += demi_init(&constant) != EEXIST;
    wrong += demi_init(argc, argv) != EEXIST;
    wrong += demi_init(argc, const_argv) != EEXIST;
    wrong += demi_init(1, array) != EEXIST;
    wrong += demi_init(0, NULL) != EEXIST;
#ifndef __cplusplus /* has no compound literals, and does not give out the addresses of temporaries */
    wrong += demi_init(&(struct demi_args){0}) != EEXIST;
    wrong += demi_init(&(struct demi_args){argc, argv, NULL}) != EEXIST;
    wrong += demi_init(&(struct demi_args){.argc = argc, .argv = argv}) != EEXIST;
    wrong += demi_init(&(struct demi_args){.argc = argc, .argv = argv, .callback = NULL}) != EEXIST;
    wrong += demi_init(&(const struct demi_args){.argc = 1, .argv = (char *[]){name, NULL}}) != EEXIST;
    wrong += demi_init(2, (char *[]){name, name, NULL}) != EEXIST;
    if (demi_init(argc, argv) == 0) wrong++;
#endif
    return wrong;
}

#endif
