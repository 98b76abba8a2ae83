variable "name" {
  description = "The fleet's name, as in fleets/NAME.toml."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9-]{1,48}$", var.name)) && !endswith(var.name, "-")
    error_message = "name must be 1 to 48 of a-z, 0-9 and -, and not end in - (a target group's name may not)"
  }
}

variable "owner" {
  description = "The same value as service.owner in fleet-scaler.toml; goes on volumes and network interfaces."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9._:/=+@-]{1,256}$", var.owner))
    error_message = "owner must be 1 to 256 of A-Z a-z 0-9 . _ : / = + @ - (no spaces and no wildcards)"
  }
}

variable "image_id" {
  description = "The image of the hosts. An id and not an alias: a launch sends the same bytes however often it is sent."
  type        = string

  validation {
    condition     = can(regex("^ami-[0-9a-f]+$", var.image_id))
    error_message = "image_id must be an id such as ami-0123456789abcdef0; look an alias (resolve:ssm:…) up before it gets here"
  }
}

variable "instance_types" {
  description = "Instance types in order of preference. The first stands in the template; the fleet's file lists them all."
  type        = list(string)

  validation {
    condition     = length(var.instance_types) > 0 && alltrue([for t in var.instance_types : can(regex("^[a-z0-9-]+\\.[a-z0-9-]+$", t))])
    error_message = "instance_types must hold at least one type such as m7g.large"
  }
}

variable "subnet_ids" {
  description = "Where hosts are launched, best one subnet in each of three zones."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) > 0 && alltrue([for id in var.subnet_ids : can(regex("^subnet-[0-9a-f]+$", id))])
    error_message = "subnet_ids must name at least one subnet, each by an id such as subnet-0123456789abcdef0"
  }

  validation {
    condition     = length(distinct(var.subnet_ids)) == length(var.subnet_ids)
    error_message = "subnet_ids names a subnet twice"
  }
}

variable "security_group_ids" {
  description = "Security groups of the hosts. One must let the service reach metrics_port."
  type        = list(string)

  validation {
    condition     = length(var.security_group_ids) > 0 && alltrue([for id in var.security_group_ids : can(regex("^sg-[0-9a-f]+$", id))])
    error_message = "security_group_ids must name at least one security group, each by an id such as sg-0123456789abcdef0"
  }
}

variable "size" {
  description = "Fewest and most hosts."
  type        = object({ min = number, max = number })

  validation {
    condition     = var.size.min >= 0 && var.size.max >= 1 && var.size.max >= var.size.min && floor(var.size.min) == var.size.min && floor(var.size.max) == var.size.max
    error_message = "size must be whole numbers with 0 <= min <= max and max >= 1"
  }
}

variable "instance_profile_arn" {
  description = "Instance profile of the hosts. Its role must be among host_role_arns of the service-role module. Null: none."
  type        = string
  default     = null

  validation {
    condition     = var.instance_profile_arn == null || can(regex("^arn:[a-z-]+:iam::[0-9]{12}:instance-profile/.+$", var.instance_profile_arn))
    error_message = "instance_profile_arn must be the full ARN of an instance profile (not of a role)"
  }
}

variable "user_data" {
  description = "What a host runs when it boots, as plain text. It must start something that serves metrics on metrics_port."
  type        = string
  default     = null

  # EC2 counts the bytes before they are encoded.
  validation {
    condition     = var.user_data == null || length(base64encode(coalesce(var.user_data, "-"))) <= 21848
    error_message = "user_data must be at most 16 KB"
  }
}

variable "root_volume" {
  description = "The root volume: its device name in the image, size, type, and key (null: the account's aws/ebs key)."
  type = object({
    device_name = optional(string, "/dev/xvda")
    size_gib    = optional(number, 16)
    type        = optional(string, "gp3")
    kms_key_arn = optional(string)
  })
  default = {}

  validation {
    condition     = var.root_volume.size_gib >= 1 && contains(["gp2", "gp3", "io1", "io2"], var.root_volume.type)
    error_message = "root_volume.size_gib must be at least 1 and root_volume.type one of gp2, gp3, io1, io2"
  }
}

variable "metadata_hop_limit" {
  description = "Network hops that an answer of the metadata service may take: 1 for programs on the host, 2 for containers."
  type        = number
  default     = 1

  validation {
    condition     = contains([1, 2], var.metadata_hop_limit)
    error_message = "metadata_hop_limit must be 1, or 2 where containers on a bridge need the metadata service"
  }
}

variable "metrics_port" {
  description = "Where the hosts serve node_exporter's page."
  type        = number
  default     = 9100

  validation {
    condition     = var.metrics_port >= 1 && var.metrics_port <= 65535
    error_message = "metrics_port must be from 1 to 65535"
  }
}

variable "target_group" {
  description = "The fleet's target group. Null: the fleet has no balancer."
  type = object({
    vpc_id                 = string
    port                   = number
    protocol               = optional(string, "HTTP")
    deregistration_delay_s = optional(number, 300)
    health_check = optional(object({
      path                = optional(string, "/")
      matcher             = optional(string, "200")
      interval_s          = optional(number, 10)
      timeout_s           = optional(number, 5)
      healthy_threshold   = optional(number, 2)
      unhealthy_threshold = optional(number, 3)
    }), {})
  })
  default = null

  validation {
    condition     = var.target_group == null || contains(["HTTP", "HTTPS"], try(var.target_group.protocol, ""))
    error_message = "target_group.protocol must be HTTP or HTTPS"
  }

  validation {
    condition     = var.target_group == null || (try(var.target_group.deregistration_delay_s, -1) >= 0 && try(var.target_group.deregistration_delay_s, 3601) <= 3600)
    error_message = "target_group.deregistration_delay_s must be from 0 to 3600"
  }

  validation {
    condition     = var.target_group == null || try(var.target_group.health_check.timeout_s < var.target_group.health_check.interval_s, false)
    error_message = "target_group.health_check.timeout_s must be less than interval_s"
  }
}

variable "tags" {
  description = "Tags for everything made here, and for every host (they go into the fleet's file)."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for key in keys(var.tags) : !startswith(key, "fleet-scaler:") && !contains(["scale-source", "scale-timestamp"], key)])
    error_message = "tags may not set fleet-scaler:*, scale-source or scale-timestamp: those are the scaler's own"
  }
}
