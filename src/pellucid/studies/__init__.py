"""What is found out about models: what each part is worth, what a boost listens to, what people prefer."""
