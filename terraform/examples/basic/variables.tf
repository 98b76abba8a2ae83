variable "region" {
  description = "The region; the same as provider.aws.region in fleet-scaler.toml."
  type        = string
  default     = "eu-west-1"
}

variable "owner" {
  description = "The same value as service.owner in fleet-scaler.toml; one per region and account."
  type        = string
  default     = "example-1"

  validation {
    condition     = can(regex("^[A-Za-z0-9._-]{1,50}$", var.owner))
    error_message = "owner must be 1 to 50 of A-Z a-z 0-9 . _ - because the role is named after it"
  }
}

variable "vpc_id" {
  description = "The VPC of the subnets."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets in at least two zones (a load balancer wants two), with a way out for packages."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "subnet_ids must name subnets in at least two zones"
  }
}

variable "scaler_security_group_id" {
  description = "The security group of the machine that runs the service: it may read the hosts' metrics."
  type        = string
}
