variable "name" {
  description = "Name of the role, of its policy and, where there is one, of its instance profile."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9+=,.@_-]{1,64}$", var.name))
    error_message = "name must be 1 to 64 of the characters that IAM allows in a role's name: A-Z a-z 0-9 + = , . @ _ -"
  }
}

variable "owner" {
  description = "The same value as service.owner in fleet-scaler.toml: which deployment an instance belongs to."
  type        = string

  # `*`, `?` and `$` mean something in a policy's conditions. A wildcard here would hand over other deployments' hosts.
  validation {
    condition     = can(regex("^[A-Za-z0-9._:/=+@-]{1,256}$", var.owner))
    error_message = "owner must be 1 to 256 of A-Z a-z 0-9 . _ : / = + @ - (no spaces and no wildcards)"
  }
}

variable "launch_template_ids" {
  description = "The launch templates that the service may launch from, one or more."
  type        = list(string)

  validation {
    condition     = length(var.launch_template_ids) > 0
    error_message = "launch_template_ids must name at least one launch template"
  }

  validation {
    condition     = alltrue([for id in var.launch_template_ids : can(regex("^lt-[0-9a-f]+$", id))])
    error_message = "each of launch_template_ids must be an id such as lt-0123456789abcdef0, not a name and not an ARN"
  }
}

variable "subnet_ids" {
  description = "The subnets that the service may launch into."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) > 0 && alltrue([for id in var.subnet_ids : can(regex("^subnet-[0-9a-f]+$", id))])
    error_message = "subnet_ids must name at least one subnet, each by an id such as subnet-0123456789abcdef0"
  }
}

variable "security_group_ids" {
  description = "The security groups that the launch templates name."
  type        = list(string)

  validation {
    condition     = length(var.security_group_ids) > 0 && alltrue([for id in var.security_group_ids : can(regex("^sg-[0-9a-f]+$", id))])
    error_message = "security_group_ids must name at least one security group, each by an id such as sg-0123456789abcdef0"
  }
}

variable "target_group_arns" {
  description = "The target groups that hosts are registered with. Empty: no fleet of this deployment has a balancer."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.target_group_arns : can(regex("^arn:[a-z-]+:elasticloadbalancing:[a-z0-9-]+:[0-9]{12}:targetgroup/[^*?]+$", arn))])
    error_message = "each of target_group_arns must be the full ARN of one target group, without wildcards"
  }
}

variable "host_role_arns" {
  description = "The roles of the hosts' own instance profiles: the only ones the service may pass. Empty: none."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.host_role_arns : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/[^*?]+$", arn))])
    error_message = "each of host_role_arns must be the full ARN of one role, without wildcards"
  }
}

variable "kms_key_arns" {
  description = "Customer-managed keys that the hosts' volumes are encrypted with. Empty: the account's aws/ebs key."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.kms_key_arns : can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[^*?]+$", arn))])
    error_message = "each of kms_key_arns must be the full ARN of one key, without wildcards"
  }
}

variable "allow_spot" {
  description = "Whether fleets may have market = \"spot\"."
  type        = bool
  default     = false
}

variable "assume_role_policy" {
  description = "Trust policy as JSON, for a service that runs outside EC2 (a pod, a task). Null: EC2, with an instance profile."
  type        = string
  default     = null

  validation {
    condition     = var.assume_role_policy == null || can(jsondecode(var.assume_role_policy))
    error_message = "assume_role_policy must be JSON"
  }
}

variable "permissions_boundary" {
  description = "ARN of a permissions boundary for the role, where the account wants one."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags for the role, the policy and the profile."
  type        = map(string)
  default     = {}
}
