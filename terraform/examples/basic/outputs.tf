output "fleet_toml" {
  description = "For fleets/web.toml of the configuration."
  value       = module.web.fleet_toml
}

output "instance_profile_name" {
  description = "For the machine that runs the service."
  value       = module.scaler.instance_profile_name
}

output "balancer_dns_name" {
  description = "Where the fleet answers, inside the VPC."
  value       = aws_lb.web.dns_name
}
