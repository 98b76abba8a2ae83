output "launch_template_id" {
  description = "The launch template, for the service-role module."
  value       = aws_launch_template.this.id
}

output "launch_template_version" {
  description = "Its newest version, as a number."
  value       = aws_launch_template.this.latest_version
}

output "target_group_arns" {
  description = "The fleet's target groups: one or none. For the service-role module, and for a listener."
  value       = aws_lb_target_group.this[*].arn
}

output "fleet_toml" {
  description = "fleets/NAME.toml, to start from: one target on CPU, in dry-run."
  value = templatefile("${path.module}/fleet.toml.tftpl", {
    name                    = var.name
    min                     = var.size.min
    max                     = var.size.max
    launch_template_id      = aws_launch_template.this.id
    launch_template_version = tostring(aws_launch_template.this.latest_version)
    subnets                 = var.subnet_ids
    instance_types          = var.instance_types
    target_groups           = aws_lb_target_group.this[*].arn
    metrics_port            = var.metrics_port
    tags                    = var.tags
  })
}
