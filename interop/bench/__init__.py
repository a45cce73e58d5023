"""Speed, side by side with RabbitMQ in one run."""
