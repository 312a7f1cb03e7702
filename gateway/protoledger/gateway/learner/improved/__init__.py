"""XuILVQ improved, the default learner: classifier, numpy body, state and metric."""
