"""A fuzzer of answers: values of many kinds, each spelled in many ways, said in many ways, or changed."""
