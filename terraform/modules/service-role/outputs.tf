output "role_arn" {
  description = "The role."
  value       = aws_iam_role.service.arn
}

output "role_name" {
  description = "Its name, for attaching more to it (the database's credentials, say)."
  value       = aws_iam_role.service.name
}

output "instance_profile_name" {
  description = "The instance profile of the machine that runs the service; null where assume_role_policy was given."
  value       = local.on_ec2 ? aws_iam_instance_profile.service[0].name : null
}

output "policy_json" {
  description = "The policy, for a review or for another role."
  value       = aws_iam_policy.service.policy
}
