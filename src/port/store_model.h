/*
 * store_model.h - random transactions, compared with the simplest thing that could be a store.
 */
#ifndef PORT_STORE_MODEL_H
#define PORT_STORE_MODEL_H

/* For cmocka, with a store_fixture; 'random_steps' of its subject says how many. */
void store_model_test(void **state);

#endif
